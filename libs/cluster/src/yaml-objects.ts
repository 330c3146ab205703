/** YAML, with whatever is wrong told as file and line. */
import { type Document, isMap, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import { InputError } from './input-error.js';
import { LIMITS } from './limits.js';

export interface YamlObject {
  readonly object: Record<string, unknown>;
  readonly line: number;
}

/** The maps of a text: of one document, of several, or of lists of them. Throws InputError. */
export function yamlObjects(text: string, file: string): YamlObject[] {
  if (text.length > LIMITS.textLength) throw new InputError('is too long', { file });
  const counter = new LineCounter();
  const lineOf = (at: number): number => counter.linePos(at).line;
  const documents = parseAllDocuments(text, { lineCounter: counter });
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error) {
      const message = error.message.split('\n', 1)[0]!.replace(/ at line \d+.*$/, '');
      throw new InputError(message, { file, line: lineOf(error.pos[0]) });
    }
    const { contents } = document;
    const nodes: readonly unknown[] = isSeq(contents) ? contents.items : [contents];
    return nodes.filter(isMap).map((node) => {
      const line = lineOf(node.range?.[0] ?? 0);
      return { object: plain(node, document, { file, line }), line };
    });
  });
}

/** Aliases that stand for too much are an error, too. */
function plain(
  node: { toJS(document: Document): unknown },
  document: Document,
  place: { file: string; line: number },
): Record<string, unknown> {
  try {
    return node.toJS(document) as Record<string, unknown>;
  } catch (error) {
    throw new InputError((error as Error).message, place);
  }
}

export const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
