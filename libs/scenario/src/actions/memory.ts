/** Actions on a process and its memory: mmap, munmap, write, read, setrlimit, status, exit, eventfd, wait. */
import { LAB, labApi, MAX_DMA } from '@vfiolab/core';
import { OPERATOR } from '../operator.js';
import { answerOf, type Actions, doneOf, success } from './action.js';
import { fileOffset } from './files.js';
import { milliseconds, payloadBytes } from '../values.js';
import { bytesInWords, hex, size } from '../words.js';

const PAGE_SHIFTS = { '4KiB': 12, '2MiB': 21, '1GiB': 30 } as const;
const HUGE = { '4KiB': '', '2MiB': '|MAP_HUGETLB|MAP_HUGE_2MB', '1GiB': '|MAP_HUGETLB|MAP_HUGE_1GB' } as const;
const PROTS = { none: 0, r: 1, w: 2, rw: 3 } as const;
const PROT_NAMES = { none: 'PROT_NONE', r: 'PROT_READ', w: 'PROT_WRITE', rw: 'PROT_READ|PROT_WRITE' } as const;
const DEFAULT_WAIT = '2s';
const PAGE = 4096n;

const kb = (kilobytes: number): bigint => BigInt(kilobytes) * 1024n;

export const memoryActions = {
  mmap: {
    facts: ['ret'],
    named: true,
    calls: true,
    words: (call, { length, pages = '4KiB', prot = 'rw', at, fd, region }) =>
      fd !== undefined
        ? `mmap(NULL, ${size(call.num(length))}, ${PROT_NAMES[prot]}, MAP_SHARED, ${call.file(fd)}, ${region})`
        : `mmap(${at === undefined ? 'NULL' : call.at(at)}, ${size(call.num(length))}, ${PROT_NAMES[prot]}, MAP_PRIVATE|MAP_ANONYMOUS${HUGE[pages]})`,
    run: async (call, { length, pages = '4KiB', prot = 'rw', at = 0, fd, region }) => {
      if (fd !== undefined) {
        const window = { prot: PROTS[prot], va: call.int(at) };
        const shown = await call.process.mapDevice(call.fd(fd), fileOffset(region!, 0), call.int(length), window);
        return answerOf(shown, (va) => success(hex(BigInt(va)), { ret: BigInt(va) }, BigInt(va)));
      }
      const where = { prot: PROTS[prot], pageShift: PAGE_SHIFTS[pages], va: call.int(at) };
      const mapped = await call.process.mmap(call.int(length), where);
      return answerOf(mapped, (va) => success(hex(BigInt(va)), { ret: BigInt(va) }, BigInt(va)));
    },
  },
  munmap: {
    facts: ['ret'],
    calls: true,
    words: (call, { at, length }) => `munmap(${call.at(at)}, ${size(call.num(length))})`,
    run: async (call, { at, length }) => doneOf(await call.process.munmap(call.int(at), call.int(length))),
  },
  write: {
    facts: [],
    calls: true,
    words: (call, { at, fill, ...payload }) =>
      fill
        ? `memset(${call.at(at)}, ${hex(BigInt(fill.value))}, ${size(call.num(fill.length))})`
        : `memcpy(${call.at(at)}, ${bytesInWords(payloadBytes(payload, call.variables))})`,
    run: async (call, { at, fill, ...payload }) => {
      const bytes = fill
        ? new Uint8Array(call.int(fill.length, MAX_DMA)).fill(fill.value)
        : payloadBytes(payload, call.variables);
      return answerOf(await call.process.write(call.int(at), bytes), () => success('done'));
    },
  },
  read: {
    facts: ['data', 'text'],
    calls: true,
    words: (call, { at, length }) => `load(${call.at(at)}, ${size(call.num(length))})`,
    run: async (call, { at, length }) =>
      answerOf(await call.process.read(call.int(at), call.int(length, MAX_DMA)), (data) =>
        success(bytesInWords(data), { data, text: new TextDecoder().decode(data) }),
      ),
  },
  eventfd: {
    facts: ['ret'],
    named: true,
    calls: true,
    words: (call, { init = 0 }) => `eventfd(${call.num(init)}, EFD_NONBLOCK)`,
    run: async (call, { init = 0 }) => call.opened(await call.process.eventfd(call.num(init)), 'eventfd'),
  },
  wait: {
    facts: ['count'],
    calls: true,
    words: (call, { event, within = DEFAULT_WAIT }) => `poll(${call.file(event)}, POLLIN, ${within}), read`,
    run: async (call, { event, within = DEFAULT_WAIT }) =>
      answerOf(await call.process.eventWait(call.fd(event), milliseconds(within)), (count) =>
        success(`counter ${count}`, { count }),
      ),
  },
  setrlimit: {
    facts: ['ret'],
    calls: true,
    words: (call, { memlock }) => `setrlimit(RLIMIT_MEMLOCK, ${size(call.num(memlock))})`,
    run: async (call, { memlock }) => doneOf(await call.process.setMemlock(call.int(memlock))),
  },
  status: {
    facts: ['vmLocked', 'vmPinned', 'userLocked'],
    calls: true,
    words: () => 'read(/proc/self/status)',
    run: async (call) =>
      answerOf(await call.process.status(), (status) => {
        const facts = {
          vmLocked: kb(status.vmLockedKb),
          vmPinned: kb(status.vmPinnedKb),
          userLocked: BigInt(status.userLockedPages) * PAGE,
        };
        return success(
          `VmLck ${size(facts.vmLocked)}, VmPin ${size(facts.vmPinned)}; charged to the user: ${size(facts.userLocked)}`,
          facts,
        );
      }),
  },
  exit: {
    facts: [],
    calls: true,
    words: (call) => `kill(${call.process.name}, SIGKILL)`,
    run: async (call) => {
      const client = call.process.address;
      // The process does not end itself: whoever is gone cannot ask again when the answer is lost.
      await call.environment.link(OPERATOR).call(LAB, labApi.endClient, { client });
      call.files.forget(call.process);
      return success('gone');
    },
  },
} satisfies Partial<Actions>;
