/** A guest with one function of a lab's machine: what it saw, and that it left nothing. */
import { VfioUserClient } from '@vfiolab/vfio-user';
import { boot, type Booted } from './guest.js';
import { description, headline, readConfig } from './lspci.js';
import { ServedMachine } from './served-machine.js';

const CONFIG = 7;

/** The function's config space as the lab has it before a guest touches it. */
async function configOf({ path }: ServedMachine, bytes: number): Promise<Uint8Array> {
  const client = await VfioUserClient.open(path);
  const { payload } = await client.read(CONFIG, 0, bytes);
  client.close();
  return payload;
}

type Beside = (served: ServedMachine) => Promise<() => Promise<void>>;
type Options = Parameters<typeof boot>[2] & { readonly beside?: Beside };

/** Boots a guest with the function, and looks that it left nothing in the lab. `beside` runs meanwhile, and ends when it is told to. */
export async function inGuest(
  description: string,
  bdf: string,
  ids: string,
  bytes: number,
  { beside, ...options }: Options = {},
): Promise<{ guest: Booted; config: Uint8Array }> {
  const served = await ServedMachine.start(description, bdf);
  try {
    const config = await configOf(served, bytes);
    const end = await beside?.(served);
    const guest = await boot(served.path, ids, options);
    await end?.();
    if (guest.values('guest').at(-1) !== 'done') throw new Error(guest.text);
    expect(await served.quiet()).toEqual({});
    return { guest, config };
  } finally {
    expect(await served.end()).toEqual([]);
  }
}

export function expectSame(guest: Booted, config: Uint8Array): void {
  const lab = readConfig(config);
  expect(headline(guest.lspci)).toBe(headline(lab));
  expect(description(guest.lspci)).toEqual(description(lab));
}
