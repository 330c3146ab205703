/**
 * `node libs/shell/dist/healthy.js`: exit code 0 when the service's process beside it is healthy, for HEALTHCHECK and exec
 * probes.
 *
 * Rule: it reads the variable that the process was started with, and loads nothing that takes time.
 */
import { get } from 'node:http';

/** Shorter than what container engines allow by default, ms. */
const PATIENCE_MS = 4000;

const fail = (what: string): void => {
  console.error(what.trim());
  process.exitCode = 1;
};

const at = process.env.VFIOLAB_WATCH;
if (!at) fail('VFIOLAB_WATCH is not set: the process shows nothing of itself');
else {
  const request = get(`http://${at}/health`, { timeout: PATIENCE_MS }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    answer.on('end', () => (answer.statusCode === 200 ? console.log(text.trim()) : fail(text)));
  });
  request.on('timeout', () => request.destroy(new Error(`no answer in ${PATIENCE_MS} ms`)));
  request.on('error', (e) => fail(`http://${at}/health: ${e.message}`));
}
