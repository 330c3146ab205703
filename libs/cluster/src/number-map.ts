/** A map from whole numbers from 0 to 2^31 - 1 to numbers, in two arrays. */
export class NumberMap {
  private keys = new Int32Array(1024).fill(-1);
  private values = new Float64Array(1024);
  private count = 0;

  /** NaN: not there. */
  get(key: number): number {
    const { keys } = this;
    const mask = keys.length - 1;
    for (let at = hash(key) & mask; ; at = (at + 1) & mask) {
      if (keys[at] === key) return this.values[at]!;
      if (keys[at]! < 0) return Number.NaN;
    }
  }

  set(key: number, value: number): void {
    const { keys } = this;
    const mask = keys.length - 1;
    let at = hash(key) & mask;
    while (keys[at]! >= 0 && keys[at] !== key) at = (at + 1) & mask;
    this.values[at] = value;
    if (keys[at] === key) return;
    keys[at] = key;
    if (++this.count * 2 > keys.length) this.grow();
  }

  private grow(): void {
    const { keys, values } = this;
    this.keys = new Int32Array(2 * keys.length).fill(-1);
    this.values = new Float64Array(2 * keys.length);
    this.count = 0;
    for (let i = 0; i < keys.length; i++) if (keys[i]! >= 0) this.set(keys[i]!, values[i]!);
  }
}

const hash = (key: number): number => {
  const h = Math.imul(key, 0x9e3779b1);
  return h ^ (h >>> 15);
};
