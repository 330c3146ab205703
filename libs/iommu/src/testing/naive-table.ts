/** A page table that is obviously right: one Map entry a granule. The model of the property tests. */
export class NaiveTable {
  readonly pages = new Map<number, { frame: number; prot: number }>();

  isFree(iova: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.pages.has(iova + i)) return false;
    return true;
  }

  map(iova: number, frame: number, count: number, prot: number): void {
    for (let i = 0; i < count; i++) this.pages.set(iova + i, { frame: frame + i, prot });
  }

  unmap(iova: number, count: number): number {
    let removed = 0;
    for (let i = 0; i < count; i++) if (this.pages.delete(iova + i)) removed++;
    return removed;
  }
}
