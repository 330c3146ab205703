/**
 * The HTTP server of an extender.
 *
 * Rule: it listens on the loopback alone, answers POST of JSON alone, and holds no more than `MOST_CONNECTIONS` questions of `MOST_BYTES` each.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Answer, Extender } from './extender.js';

export const MOST_BYTES = 32 * 2 ** 20;
const MOST_CONNECTIONS = 16;
/** A question that has not come by then is dropped, ms. */
const PATIENCE_MS = 10_000;
const LOOPBACK = '127.0.0.1';

export class ExtenderServer {
  private constructor(private readonly server: Server) {}

  /** Rejects when the port cannot be had. */
  static listen(extender: Extender, port: number): Promise<ExtenderServer> {
    const server = createServer((request, response) => void serve(extender, request, response));
    server.maxConnections = MOST_CONNECTIONS;
    server.headersTimeout = server.requestTimeout = PATIENCE_MS;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, LOOPBACK, () => resolve(new ExtenderServer(server)));
    });
  }

  /** The system's choice when port 0 was asked for. */
  get url(): string {
    return `http://${LOOPBACK}:${(this.server.address() as AddressInfo).port}`;
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

async function serve(extender: Extender, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, body } = await answer(extender, request);
  const text = `${JSON.stringify(body)}\n`;
  // What is left of a question that was too long is not read.
  response.writeHead(status, { 'content-type': 'application/json', ...(status === 413 && { connection: 'close' }) });
  response.end(text);
}

async function answer(extender: Extender, request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? '/').split('?', 1)[0]!;
  const paths = Object.keys(extender.verbs);
  if (!Object.hasOwn(extender.verbs, path)) return said(404, `there are ${paths.join(', ')}`);
  if (request.method !== 'POST') return said(405, 'only POST is answered here');
  const bytes = await bodyOf(request);
  if (bytes === undefined) return said(413, `a question has at most ${MOST_BYTES} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(bytes);
  } catch (e) {
    return said(400, `the question is no JSON: ${(e as Error).message}`);
  }
  try {
    return extender.verbs[path]!(value);
  } catch (e) {
    return said(500, (e as Error).message);
  }
}

const said = (status: number, problem: string): Answer => ({ status, body: { error: problem } });

/** Undefined: too long. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of request as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > MOST_BYTES) return undefined;
      parts.push(part);
    }
  } catch {
    // The connection was lost: nobody hears the answer.
    return '';
  }
  return Buffer.concat(parts).toString('utf8');
}
