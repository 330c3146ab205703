/** Hosts of which one is drawn, all equally likely. */
export class UniformSet {
  private readonly members: Int32Array;
  /** Where each host stands among the members; -1: nowhere. */
  private readonly at: Int32Array;
  size = 0;

  constructor(count: number) {
    this.members = new Int32Array(count);
    this.at = new Int32Array(count).fill(-1);
  }

  set(host: number, member: boolean): void {
    const at = this.at[host]!;
    if (at >= 0 === member) return;
    if (member) {
      this.at[host] = this.size;
      this.members[this.size++] = host;
      return;
    }
    const last = this.members[--this.size]!;
    this.members[at] = last;
    this.at[last] = at;
    this.at[host] = -1;
  }

  /** `index` below `size`. */
  member(index: number): number {
    return this.members[index]!;
  }
}
