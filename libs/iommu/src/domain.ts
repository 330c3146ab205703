/**
 * Paging domains and their numbers.
 *
 * Words: a *domain* is a page table that groups can be attached to; its id is the lowest free one from 1 on, because 0
 * stands for blocking. A *nested* domain is the user's own table on top of one: nothing is ever mapped in it here.
 * Rule: an id is given out again only after the DMAs of the domain that had it have landed.
 */
import { DOMAIN_DIRTY_TRACKING } from '@vfiolab/core';
import { endPageOf, type Format, topLevelOf } from './formats.js';
import { InFlight } from './in-flight.js';
import type { Nested } from './nested.js';
import { PageTable } from './page-table.js';

/** Numbers of domains end here; the hardware's own limit is that of its unit. */
export const MAX_DOMAINS = 65536;

/** What a domain is made of. `flags`: DOMAIN_* of the protocol. */
export interface DomainKind {
  readonly format: Format;
  readonly flags: number;
  readonly nested?: Nested;
  /** The unit that it was made for. */
  readonly unit?: number;
  /** Every access is cache-coherent, so only units that can do that take it. */
  readonly coherent?: boolean;
}

export class Domain {
  readonly inFlight = new InFlight();
  readonly format: Format;
  readonly flags: number;
  readonly nested: Nested | undefined;
  readonly unit: number;
  readonly coherent: boolean;
  /** One past the last granule that can be mapped. */
  readonly endPage: number;
  readonly topLevel: number;
  /** Groups attached now. */
  attached = 0;
  /** The doorbell page is mapped, besides what users map. */
  doorbell = false;
  /** Dirty bits are being collected. */
  tracking = false;

  constructor(
    readonly id: number,
    readonly table: PageTable,
    { format, flags, nested, unit = 0, coherent = false }: DomainKind,
  ) {
    this.unit = unit;
    this.coherent = coherent;
    this.format = format;
    this.flags = flags;
    this.nested = nested;
    this.endPage = nested ? 0 : endPageOf(format);
    this.topLevel = topLevelOf(format);
  }

  get writeImpliesRead(): boolean {
    return this.format.writeImpliesRead === true;
  }

  get tracksDirty(): boolean {
    return (this.flags & DOMAIN_DIRTY_TRACKING) !== 0;
  }
}

/** The domains of a host, by id. */
export class Domains {
  private readonly byId = new Map<number, Domain>();
  /** Freed domains whose DMAs have not landed yet: their ids are taken. */
  private readonly draining = new Set<number>();
  /** No id below this one is free. */
  private lowest = 1;

  /** `maxTables`: page tables that one domain may take. */
  constructor(private readonly maxTables?: number) {}

  /** A new domain with the lowest free id below `limit`, or undefined when there is none. */
  make(limit: number, kind: DomainKind): Domain | undefined {
    while (this.byId.has(this.lowest) || this.draining.has(this.lowest)) this.lowest++;
    return this.lowest < limit ? this.restore(this.lowest, kind) : undefined;
  }

  /** A domain with a known id. */
  restore(id: number, kind: DomainKind): Domain {
    const domain = new Domain(id, new PageTable(this.maxTables), kind);
    this.byId.set(id, domain);
    return domain;
  }

  get(id: number): Domain | undefined {
    return this.byId.get(id);
  }

  /** All of them, or undefined when one does not exist or is named twice. */
  getAll(ids: readonly number[]): Domain[] | undefined {
    if (new Set(ids).size !== ids.length) return undefined;
    const found = ids.map((id) => this.byId.get(id));
    return found.every((d): d is Domain => d !== undefined) ? found : undefined;
  }

  /** The domain is gone for everybody, its table is empty; the id comes back with `reclaim`. */
  retire(domain: Domain): void {
    domain.table.clearAll();
    this.byId.delete(domain.id);
    this.draining.add(domain.id);
  }

  reclaim(domain: Domain): void {
    this.draining.delete(domain.id);
    this.lowest = Math.min(this.lowest, domain.id);
  }

  /** Nested domains that stand on this one. */
  on(parent: number): Domain[] {
    return [...this.byId.values()].filter(({ nested }) => nested?.parent === parent);
  }

  /** Domains that were made for a unit. */
  madeFor(unit: number): number {
    let count = 0;
    for (const each of this.byId.values()) if (each.unit === unit && !each.nested) count++;
    return count;
  }

  /** Ids of freed domains that still wait for DMAs. */
  drainingIds(): number[] {
    return [...this.draining].sort((a, b) => a - b);
  }

  sorted(): Domain[] {
    return [...this.byId.values()].sort((a, b) => a.id - b.id);
  }
}
