/**
 * The primary controller of a PF: who of its VFs is online, and what each has of the flexible resources (section 8.5).
 *
 * Words: a VF *listens* from the first time that it asks until nobody answers there any more.
 * Rule: a VF that listens knows of a change before whoever made it is told that it is done. A reset of the function puts all back as
 * after power-on; a reset of the controller alone takes the VFs offline, as it does in QEMU.
 */
import { type ByteReader, ByteWriter, type Op } from '@vfiolab/core';
import type { ModelBus } from '../model.js';
import { QUEUES } from './registers.js';
import {
  ALONE,
  checkGrant,
  firstGrant,
  type Grant,
  GRANT_BYTES,
  MAX_VFS,
  MOST,
  readGrant,
  type Role,
  SEVERAL_CONTROLLERS,
  SHARE,
  suffices,
  writeGrant,
} from './role.js';
import * as status from './status.js';

/** A kind of resources, as Virtualization Management numbers them. */
export type Kind = 'queues' | 'vectors';

export class Primary implements Role {
  readonly id = 0;
  readonly sharing = SEVERAL_CONTROLLERS;
  /** All that its registers have room for are its own, so it needs no flexible ones. */
  readonly queues = QUEUES;
  readonly vectors = ALONE.vectors;
  private grants: Grant[];
  private readonly listening: boolean[];

  /** `vfs`: as many as the PF can have; those behind the last with a controller stay offline. */
  constructor(
    private readonly bus: ModelBus,
    vfs: number,
  ) {
    const count = Math.min(vfs, MAX_VFS);
    this.grants = Array.from({ length: count }, (_, n) => firstGrant(n));
    this.listening = this.grants.map(() => false);
  }

  /** By VF. */
  get all(): readonly Grant[] {
    return this.grants;
  }

  /** Flexible resources of each kind. */
  get total(): number {
    return SHARE * this.grants.length;
  }

  assigned(kind: Kind): number {
    return this.grants.reduce((sum, grant) => sum + grant[kind], 0);
  }

  /** VF `n` asks. */
  asked(n: number): Uint8Array {
    if (n < this.listening.length) this.listening[n] = true;
    return bytesOf(this.grants[n] ?? firstGrant(MAX_VFS));
  }

  /** Gives `count` resources to a VF that is offline, which gives back what it had. Answers a status. */
  assign(n: number, kind: Kind, count: number): number {
    const grant = this.grants[n];
    if (!grant) return status.INVALID_CONTROLLER;
    if (grant.online) return status.INVALID_CONTROLLER_STATE;
    if (count > MOST) return status.INVALID_RESOURCE_COUNT;
    if (this.assigned(kind) - grant[kind] + count > this.total) return status.INVALID_RESOURCE;
    this.grants[n] = { ...grant, [kind]: count };
    return status.SUCCESS;
  }

  /** A VF begins as after a reset. Answers a status. */
  *online(n: number): Op<number> {
    const grant = this.grants[n];
    if (!grant) return status.INVALID_CONTROLLER;
    if (!suffices(grant)) return status.INVALID_CONTROLLER_STATE;
    if (!grant.online) yield* this.set(n, { ...grant, online: true });
    return status.SUCCESS;
  }

  /** A VF stops, and gives back its resources. Answers a status. */
  *offline(n: number): Op<number> {
    if (!this.grants[n]) return status.INVALID_CONTROLLER;
    yield* this.set(n, firstGrant(MAX_VFS));
    return status.SUCCESS;
  }

  private *set(n: number, grant: Grant): Op<void> {
    this.grants[n] = grant;
    yield* this.tell(n);
  }

  private *tell(n: number): Op<void> {
    if (!this.listening[n]) return;
    const heard = yield* this.bus.ask(bytesOf(this.grants[n]!), 1 + n);
    if (heard.length === 0) this.listening[n] = false;
  }

  *allOffline(): Op<void> {
    for (const n of this.grants.keys()) yield* this.offline(n);
  }

  reset(): void {
    this.grants = this.grants.map((_, n) => firstGrant(n));
  }

  *tellAll(): Op<void> {
    for (const n of this.grants.keys()) yield* this.tell(n);
  }

  encode(w: ByteWriter): void {
    for (const [n, grant] of this.grants.entries()) {
      writeGrant(w, grant);
      w.bool(this.listening[n]!);
    }
  }

  decode(r: ByteReader): void {
    for (const n of this.grants.keys()) {
      this.grants[n] = readGrant(r);
      this.listening[n] = r.bool();
    }
  }

  check(): string[] {
    const spent = (['queues', 'vectors'] as const).filter((kind) => this.assigned(kind) > this.total);
    return [...this.grants.flatMap(checkGrant), ...spent.map((kind) => `more ${kind} are granted than there are`)];
  }

  describe(): string {
    return `${this.grants.filter(({ online }) => online).length} of ${this.grants.length} VFs online, `;
  }
}

function bytesOf(grant: Grant): Uint8Array {
  const w = new ByteWriter(GRANT_BYTES);
  writeGrant(w, grant);
  return w.take();
}
