/** Arrivals that wait, by class: of one class the first to come is the first to go. */
export class Waiting {
  private readonly lines: { members: number[]; head: number }[];
  size = 0;

  constructor(classes: number) {
    this.lines = Array.from({ length: classes }, () => ({ members: [], head: 0 }));
  }

  add(id: number, arrival: number): void {
    this.lines[id]!.members.push(arrival);
    this.size++;
  }

  /** Who is first; -1: nobody waits. */
  head(id: number): number {
    const { members, head } = this.lines[id]!;
    return members[head] ?? -1;
  }

  shift(id: number): void {
    const line = this.lines[id]!;
    line.head++;
    this.size--;
    if (2 * line.head < line.members.length) return;
    line.members.splice(0, line.head);
    line.head = 0;
  }

  /** Classes for which somebody waits, that of the smallest arrival first. */
  classes(): number[] {
    return [...this.lines.keys()].filter((id) => this.head(id) >= 0).sort((a, b) => this.head(a) - this.head(b));
  }

  all(): number[] {
    return this.lines.flatMap(({ members, head }) => members.slice(head));
  }
}
