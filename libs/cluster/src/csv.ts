/**
 * CSV as people have it: a header, commas, quotes doubled inside quotes, CRLF or LF, `#` comments and empty lines between.
 *
 * Rule: every row knows its line, so that whatever is wrong with it can be said with file, line and field.
 */
import { InputError, quote } from './input-error.js';
import { LIMITS } from './limits.js';

export class Row {
  constructor(
    private readonly columns: ReadonlyMap<string, number>,
    private readonly cells: readonly string[],
    readonly file: string,
    readonly line: number,
  ) {}

  /** What stands there; empty where there is no such column. */
  text(field: string): string {
    const at = this.columns.get(field);
    return at === undefined ? '' : this.cells[at]!.trim();
  }

  /** A name: anything but nothing. */
  name(field: string): string {
    const text = this.text(field);
    if (text === '') throw this.wrong(field, 'is empty');
    return text;
  }

  /** A whole number from `least` to `most`; `missing` where nothing stands. */
  whole(field: string, most: number, missing?: number, least = 0): number {
    const text = this.text(field);
    if (text === '' && missing !== undefined) return missing;
    const value = /^-?\d{1,15}(\.0+)?$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isNaN(value)) throw this.wrong(field, `${quote(text)} is no whole number`);
    if (value < least) throw this.wrong(field, `${text} is too small: at least ${least}`);
    if (value > most) throw this.wrong(field, `${text} is too large: at most ${most}`);
    return value;
  }

  wrong(field: string, problem: string): InputError {
    return new InputError(problem, { file: this.file, line: this.line, field });
  }
}

/** One line's cells. A quote that stays open is an error: a row never goes over lines here. */
function split(text: string, file: string, line: number): string[] {
  if (!text.includes('"')) return text.split(',');
  const cells: string[] = [];
  const cell = /\s*"((?:[^"]|"")*)"\s*(,|$)|([^",]*)(,|$)/y;
  for (let at = 0; ;) {
    cell.lastIndex = at;
    const found = cell.exec(text);
    if (!found) throw new InputError('the quotes do not match', { file, line });
    cells.push(found[1]?.replaceAll('""', '"') ?? found[3] ?? '');
    if ((found[2] ?? found[4]) === '') return cells;
    at = cell.lastIndex;
  }
}

/** The rows of a file whose header has all `required` columns. Throws InputError. */
export function* readCsv(text: string, file: string, required: readonly string[]): Generator<Row> {
  if (text.length > LIMITS.textLength) throw new InputError(`is longer than ${LIMITS.textLength} characters`, { file });
  let columns: Map<string, number> | undefined;
  let line = 0;
  for (let start = text.startsWith('\ufeff') ? 1 : 0; start < text.length;) {
    const found = text.indexOf('\n', start);
    const end = found < 0 ? text.length : found;
    const content = text.slice(start, text[end - 1] === '\r' ? end - 1 : end);
    start = end + 1;
    line++;
    if (content.trim() === '' || content.startsWith('#')) continue;
    const cells = split(content, file, line);
    if (!columns) columns = header(cells, file, line, required);
    else {
      if (cells.length !== columns.size)
        throw new InputError(`has ${cells.length} fields where the header has ${columns.size}`, { file, line });
      if (line > LIMITS.rows) throw new InputError(`more than ${LIMITS.rows} lines`, { file, line });
      yield new Row(columns, cells, file, line);
    }
  }
  if (!columns) throw new InputError('is empty; a header line was expected', { file });
}

function header(
  cells: readonly string[],
  file: string,
  line: number,
  required: readonly string[],
): Map<string, number> {
  const columns = new Map<string, number>();
  for (const [at, cell] of cells.entries()) {
    const field = cell.trim();
    if (columns.has(field)) throw new InputError('the header has this column twice', { file, line, field });
    columns.set(field, at);
  }
  for (const field of required)
    if (!columns.has(field)) throw new InputError('the header has no such column', { file, line, field });
  return columns;
}
