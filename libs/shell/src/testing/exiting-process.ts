/** Child process of a test: it has twenty things to end when it exits, and ends one of them before. */
import { writeSync } from 'node:fs';
import { atExit } from '../at-exit.js';

const forget = Array.from({ length: 20 }, (_, i) => atExit(() => writeSync(1, `ended ${i}\n`)));
forget[7]!();
if (process.argv[2] === 'exit') process.exit(0);
process.kill(process.pid, process.argv[2]);
setInterval(() => undefined, 1000);
