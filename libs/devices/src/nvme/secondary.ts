/**
 * The secondary controller of a VF: what its PF grants it.
 *
 * Rule: whoever opens the VF asks its PF; from then on the PF tells what changes. Where no vfio driver has the PF nobody can have
 * changed anything, so it is as after power-on.
 */
import { ByteReader, type ByteWriter, type Op } from '@vfiolab/core';
import type { ModelBus } from '../model.js';
import {
  checkGrant,
  firstGrant,
  type Grant,
  OF_A_VF,
  readGrant,
  type Role,
  SEVERAL_CONTROLLERS,
  writeGrant,
} from './role.js';

const NO_QUESTION = new Uint8Array(0);

export class Secondary implements Role {
  readonly id: number;
  readonly sharing = SEVERAL_CONTROLLERS | OF_A_VF;
  private grant: Grant;

  constructor(
    private readonly bus: ModelBus,
    private readonly vf: number,
  ) {
    this.id = vf + 1;
    this.grant = firstGrant(vf);
  }

  get online(): boolean {
    return this.grant.online;
  }

  get queues(): number {
    return this.grant.queues;
  }

  get vectors(): number {
    return this.grant.vectors;
  }

  /** What the PF tells while it is being asked is newer than its answer. */
  *learn(): Op<void> {
    const { grant } = this;
    const answer = yield* this.bus.ask(NO_QUESTION);
    if (this.grant !== grant) return;
    this.grant = answer.length > 0 ? readGrant(new ByteReader(answer)) : firstGrant(this.vf);
  }

  told(data: Uint8Array): void {
    this.grant = readGrant(new ByteReader(data));
  }

  encode(w: ByteWriter): void {
    writeGrant(w, this.grant);
  }

  decode(r: ByteReader): void {
    this.grant = readGrant(r);
  }

  check(): string[] {
    return checkGrant(this.grant);
  }

  describe(): string {
    return `VF ${this.vf} ${this.online ? 'online' : 'offline'}, `;
  }
}
