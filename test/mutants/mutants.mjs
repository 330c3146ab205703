/**
 * Mistakes that are planted, one at a time, to see that the simulator finds them.
 *
 * Words: `edits` are pairs of what stands in the file, exactly once, and what stands there instead. `hunts`: what looks for
 * it, cheapest first: `crash-points SCENARIO` (each place where a service can end), or `MIX` of the campaigns.
 * Rule: a mutant is a mistake that somebody could make, not damage; no check of the lab's is switched off. An edit that does
 * not fit its file any more is an error, not a run without a mistake.
 */
import { readFileSync } from 'node:fs';

export const mutants = [
  {
    name: 'acknowledges-before-durable',
    says: 'a record reaches the journal one turn after its answers have left',
    file: 'libs/core/src/actor.ts',
    edits: [
      [
        'this.ports.journal.append({ seq, body }, this.outputsSinceRecord);',
        'if (this.late) this.ports.journal.append(...this.late); this.late = [{ seq, body }, this.outputsSinceRecord];',
      ],
    ],
    hunts: ['crash-points', 'faults'],
  },
  {
    name: 'forgets-answers-on-restart',
    says: 'a service that comes back does not know which requests it has answered',
    file: 'libs/core/src/actor.ts',
    edits: [
      ["this.state = 'starting';\n    // The", "this.machine.sessions.clear(); this.state = 'starting';\n    // The"],
    ],
    hunts: ['crash-points', 'faults'],
  },
  {
    name: 'new-id-on-retry',
    says: 'a request that is sent again is another request',
    file: 'libs/core/src/actor.ts',
    edits: [
      [
        'pending.frame = withEpoch(pending.frame, this.machine.epoch);',
        'pending.frame = withEpoch(pending.frame, this.machine.epoch).slice(); if (!all) pending.frame[10]++;',
      ],
    ],
    hunts: ['crash-points', 'faults'],
  },
  {
    name: 'keeps-no-answers',
    says: 'a request that comes twice is carried out twice',
    file: 'libs/core/src/session.ts',
    edits: [['if (id >= this.floor) this.answers.set(id, frame);', 'this.answers.delete(id);']],
    hunts: ['faults'],
  },
  {
    name: 'never-asks-again',
    says: 'a lost request is not repeated',
    file: 'libs/core/src/actor.ts',
    edits: [['if (!all && Math.abs(now - pending.sentAt) < wait) continue;', 'if (!all) continue;']],
    hunts: ['faults'],
  },
  {
    name: 'snapshot-numbers-anew',
    says: 'ids of requests begin again at 1 after a snapshot was read',
    file: 'libs/core/src/session.ts',
    edits: [['c.next = r.num();', 'r.num(); c.next = 1;']],
    hunts: ['crash-points', 'faults'],
  },
  {
    name: 'unpins-before-flush',
    says: 'pages are unpinned first, and then the entries cleared that led to them',
    file: 'libs/iommufd/src/unmap.ts',
    edits: [
      ['  if (ioas.hwpts.length > 0) yield* clear(areas, ioas.hwpts);\n', ''],
      [
        'yield* unpinBatch(ioas, areas.slice(i, i + UNPIN_BATCH));\n',
        'yield* unpinBatch(ioas, areas.slice(i, i + UNPIN_BATCH));\n  if (ioas.hwpts.length > 0) yield* clear(areas, ioas.hwpts);\n',
      ],
    ],
    hunts: ['vfio'],
  },
  {
    name: 'owner-before-blocking',
    says: 'a group is given back while its functions still reach memory of the one who had it',
    file: 'libs/iommufd/src/bind.ts',
    edits: [
      [
        '  yield* detachAllPasids(context, device);',
        '  if (!device.mock) yield* call(GROUPS, groupsApi.releaseDma, { bdf: device.bdf, context: context.id });\n  yield* detachAllPasids(context, device);',
      ],
      ['  else yield* call(GROUPS, groupsApi.releaseDma, { bdf, context: context.id });\n}', '}'],
    ],
    hunts: ['vfio'],
  },
  {
    name: 'charges-twice',
    says: 'a page more is counted for every pin of several pages',
    file: 'libs/pages/src/accounting.ts',
    edits: [
      [
        'if (movesVmPin(mode)) process.pinned += pages;',
        'if (movesVmPin(mode)) process.pinned += pages + (pages > 1 ? 1 : 0);',
      ],
    ],
    hunts: ['fail-nth', 'vfio'],
  },
  {
    name: 'page-request-forgotten',
    says: 'what waits for a page is not told when its attachment goes',
    file: 'libs/iommu/src/page-requests.ts',
    edits: [
      [
        'if (request.pasid === pasid) yield* answerRequest(device, number, false);',
        'if (request.pasid === pasid) device.requests.delete(number);',
      ],
    ],
    hunts: ['vfio'],
  },
  {
    name: 'ended-clients-are-heard',
    says: 'a request that comes after its client has ended is carried out',
    file: 'libs/core/src/machine.ts',
    edits: [['if (this.gone.has(input.from)) return void this.refuse(input.from, h, STATUS.gone);', '']],
    hunts: ['faults', 'vfio'],
  },
  {
    name: 'locks-do-not-hold',
    says: 'two operations change an address space at the same time',
    file: 'libs/core/src/op.ts',
    edits: [['return this.held === 0 || (!exclusive && !this.exclusive);', 'return true;']],
    hunts: ['linearise', 'races', 'vfio'],
  },
  {
    name: 'unmap-does-not-flush',
    says: 'an unmap is answered while DMAs that began before it are under way',
    file: 'libs/iommu/src/ats-timeout.ts',
    edits: [['  for (const flush of flushes) yield* flush;\n', '']],
    hunts: ['vfio', 'swarm'],
  },
  {
    name: 'clears-a-dirty-bit-too-many',
    says: 'a report of dirty pages clears the page behind those that it tells',
    file: 'libs/iommu/src/dirty.ts',
    edits: [
      [
        'if (clear) for (const i of bitsOf(bitmap)) table.clearDirty(first + i);',
        'if (clear) for (let i = 0; i <= count; i++) if (table.lookup(first + i) >= 0) table.clearDirty(first + i);',
      ],
    ],
    hunts: ['swarm', 'vfio'],
  },
  {
    name: 'counts-a-late-close',
    says: 'a last close that is heard of late is taken from the users of another container',
    file: 'libs/groups/src/groups-core.ts',
    edits: [['if (!counted || group.backing.kind', 'if (group.backing.kind']],
    hunts: ['vfio'],
  },
  {
    name: 'interrupts-go-on',
    says: 'a device that is given back keeps the eventfds of its interrupts',
    file: 'libs/vfio/src/vfio-device.ts',
    edits: [
      [
        '    yield* this.irqs.shutDown();\n    yield* unlock(this.irqs.gate);\n    if',
        '    yield* unlock(this.irqs.gate);\n    if',
      ],
    ],
    hunts: ['vfio'],
  },
  {
    name: 'keeps-bus-master',
    says: 'a device that is given back may go on with DMA',
    file: 'libs/vfio/src/vfio-device.ts',
    edits: [['    this.config.clearBusMaster();\n    yield* this.revoke();\n', '    yield* this.revoke();\n']],
    hunts: ['vfio'],
  },
];

export const sourceOf = ({ file }) => new URL(file, new URL('../../', import.meta.url));

/** A file's text with the mutant in it. */
export function mutate({ name, file, edits }) {
  let text = readFileSync(sourceOf({ file }), 'utf8');
  for (const [from, to] of edits) {
    const pieces = text.split(from);
    if (pieces.length !== 2)
      throw new Error(`mutant ${name}: ${JSON.stringify(from)} is ${pieces.length - 1} times in ${file}, not once`);
    text = pieces.join(to);
  }
  return text;
}
