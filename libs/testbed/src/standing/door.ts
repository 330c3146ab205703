/**
 * How commands reach the process that keeps a lab: a UNIX socket in the lab's folder.
 *
 * Words: a *request* is one line of JSON, `{ "do": NAME, ... }`; so is its answer, `{ "answer": ... }` or `{ "error": TEXT }`.
 * Rule: only the user who started the lab gets in (mode 0600), and one process at a time has the socket: a second lab in the
 * same folder is refused before it starts anything.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';

export interface DoorRequest {
  readonly do: 'apply' | 'status' | 'down';
  /** With apply: the lab file, absolute. */
  readonly file?: string;
}

export type Answering = (request: DoorRequest) => Promise<unknown>;

/** Bytes of one request. */
export const MAX_REQUEST = 16 * 1024;
/** Visitors at once. */
export const MAX_VISITORS = 32;
/** A path of a UNIX socket has at most so many bytes on Linux and the BSDs. */
const LONGEST_PATH = 103;

const socketOf = (data: string): string => join(data, 'lab.sock');

/** Somebody keeps a lab in this folder already. */
export class DoorTaken extends Error {}

export class Door {
  private readonly visitors = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  /** The folder must exist. Throws DoorTaken. */
  static async open(data: string, answering: Answering): Promise<Door> {
    const path = socketOf(data);
    if (Buffer.byteLength(path) > LONGEST_PATH)
      throw new Error(
        `${path}: too long for a socket, at most ${LONGEST_PATH} bytes. Name a shorter folder with data.`,
      );
    const other = await knock(data);
    other?.destroy();
    if (other) throw new DoorTaken(`a lab is up in ${data} already`);
    rmSync(path, { force: true });
    const server = createServer({ allowHalfOpen: true });
    server.maxConnections = MAX_VISITORS;
    const door = new Door(server);
    server.on('connection', (socket) => door.serve(socket, answering));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => resolve());
    });
    chmodSync(path, 0o600);
    return door;
  }

  private serve(socket: Socket, answering: Answering): void {
    this.visitors.add(socket);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.visitors.delete(socket));
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > MAX_REQUEST) return socket.destroy();
      if (!text.includes('\n')) return;
      socket.removeAllListeners('data');
      void answer(text, answering).then((line) => socket.end(`${line}\n`));
    });
  }

  /** Answers that are under way are still given. */
  close(): Promise<void> {
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

async function answer(text: string, answering: Answering): Promise<string> {
  try {
    return JSON.stringify({ answer: (await answering(JSON.parse(text) as DoorRequest)) ?? null });
  } catch (e) {
    return JSON.stringify({ error: (e as Error).message });
  }
}

/** Asks the lab in this folder. Undefined: there is none. Throws what it refuses. */
export async function ask(data: string, request: DoorRequest): Promise<{ answer: unknown } | undefined> {
  const socket = await knock(data);
  if (!socket) return undefined;
  socket.write(`${JSON.stringify(request)}\n`);
  let text = '';
  for await (const chunk of socket.setEncoding('utf8')) text += String(chunk);
  if (text === '') throw new Error(`the lab in ${data} has ended without an answer`);
  const { answer: given, error } = JSON.parse(text) as { answer?: unknown; error?: string };
  if (error !== undefined) throw new Error(error);
  return { answer: given };
}

function knock(data: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(socketOf(data));
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}
