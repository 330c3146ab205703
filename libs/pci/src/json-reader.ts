/**
 * Checked access to parsed JSON. Rule: every wrong field is a TopologyError with the JSON path of that field.
 */
import { TopologyError, quote } from './topology-error.js';

export class JsonReader {
  private constructor(
    private readonly value: unknown,
    readonly path: string,
  ) {}

  /** Parses `text`; a syntax error names the position that the JSON parser reports. */
  static parse(text: string): JsonReader {
    try {
      return new JsonReader(JSON.parse(text), '$');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new TopologyError(`The text is not JSON: ${reason}`, { path: '$' }, 'Check that the file is complete.');
    }
  }

  /** Member of an object; reads as absent when the key is missing. */
  at(key: string): JsonReader {
    const object = this.value;
    if (typeof object !== 'object' || object === null || Array.isArray(object)) throw this.wrong('an object');
    const member: unknown = Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined;
    return new JsonReader(member, this.path === '$' ? key : `${this.path}.${key}`);
  }

  /** True when the field is missing or null. */
  get absent(): boolean {
    return this.value === undefined || this.value === null;
  }

  /** Elements of an array; an absent field is an empty array. */
  list(limit: number): JsonReader[] {
    if (this.absent) return [];
    if (!Array.isArray(this.value)) throw this.wrong('an array');
    if (this.value.length > limit) throw this.wrong(`at most ${limit} elements`);
    return this.value.map((element: unknown, index) => new JsonReader(element, `${this.path}[${index}]`));
  }

  text(): string {
    if (typeof this.value !== 'string') throw this.wrong('a text');
    return this.value;
  }

  textOrNull(): string | null {
    return this.absent ? null : this.text();
  }

  flagOr(fallback: boolean): boolean {
    if (this.absent) return fallback;
    if (typeof this.value !== 'boolean') throw this.wrong('true or false');
    return this.value;
  }

  /** A whole number from `min` to `max`; null when absent. */
  numberOrNull(min: number, max: number): number | null {
    if (this.absent) return null;
    if (!Number.isInteger(this.value) || (this.value as number) < min || (this.value as number) > max) {
      throw this.wrong(`a whole number from ${min} to ${max}`);
    }
    return this.value as number;
  }

  number(min: number, max: number): number {
    const number = this.numberOrNull(min, max);
    if (number === null) throw this.wrong(`a whole number from ${min} to ${max}`);
    return number;
  }

  /** A text such as `0x8086` with up to `digits` hex digits; null when absent. */
  hexOrNull(digits: number): number | null {
    if (this.absent) return null;
    if (typeof this.value !== 'string' || !new RegExp(`^0x[0-9a-f]{1,${digits}}$`, 'i').test(this.value)) {
      throw this.wrong(`a text of 0x and up to ${digits} hex digits`);
    }
    return parseInt(this.value, 16);
  }

  /** One of the given texts; null when absent. */
  oneOfOrNull<T extends string>(allowed: readonly T[]): T | null {
    if (this.absent) return null;
    const found = allowed.find((each) => each === this.value);
    if (found === undefined) throw this.wrong(`one of ${allowed.join(', ')}`);
    return found;
  }

  wrong(expected: string): TopologyError {
    const got = this.value === undefined ? 'nothing' : quote(JSON.stringify(this.value));
    return new TopologyError(`Found ${got}`, { path: this.path }, `Expected ${expected}.`);
  }
}
