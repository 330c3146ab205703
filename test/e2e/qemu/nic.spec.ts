import { readFileSync } from 'node:fs';
import { Process } from '@vfiolab/client';
import { prepareDevice } from '@vfiolab/vfio-user';
import { openCard } from '../../capabilities/support/network-card.js';
import { Program } from '../../capabilities/support/passthrough.js';
import { whatIsMissing } from './support/guest.js';
import { expectSame, inGuest } from './support/in-guest.js';
import type { ServedMachine } from './support/served-machine.js';

const missing = whatIsMissing();
const needs = missing === '' ? it.each : it.skip.each;
const name = (words: string): string => (missing === '' ? words : `${words} (skipped: ${missing})`);
const [CARD, PEER] = ['0000:01:00.0', '0000:02:00.0'];
const MACHINE = readFileSync(new URL('../../machines/network-lab.json', import.meta.url), 'utf8');
const EXPERIMENTAL = 0x88b5;
const IPV4 = 0x0800;
const MINUTES = 60_000;

/** A program of the lab with the other card of the network: it sends frames back, and keeps the segments that it is sent. */
class Echo {
  readonly segments: Buffer[] = [];
  private over = false;

  async start({ lab }: ServedMachine): Promise<() => Promise<void>> {
    const root = new Process('peer', lab.link('peer'));
    await root.start();
    await prepareDevice(root, PEER!);
    const program = await Program.start({ run: (work) => work }, root);
    const { driver } = await openCard(program, PEER!, { long: true });
    const running = this.run(driver);
    return async () => {
      this.over = true;
      await running;
      await root.exit();
    };
  }

  private async run(driver: Awaited<ReturnType<typeof openCard>>['driver']): Promise<void> {
    while (!this.over) {
      const frames = await driver.received();
      const back = frames.filter((frame) => frame.readUInt16BE(12) === EXPERIMENTAL);
      this.segments.push(...frames.filter((frame) => frame.readUInt16BE(12) === IPV4));
      for (const frame of back)
        await driver.send(Buffer.concat([frame.subarray(6, 12), driver.mac, frame.subarray(12)]));
      if (frames.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Sum of 16 bits each in ones' complement. */
function sumOf(bytes: Buffer, start = 0): number {
  let sum = start;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** 20,000 bytes in segments of 1,448, as the guest asked for: every header is right, and the data are the guest's. */
function expectSegments(frames: readonly Buffer[]): void {
  const packets = frames.map((frame) => frame.subarray(14, 14 + frame.readUInt16BE(16)));
  expect(packets.map((ip) => ip.length - 40)).toEqual([...Array<number>(13).fill(1448), 20_000 - 13 * 1448]);
  expect(packets.map((ip) => ip.readUInt16BE(4) - 0x1234)).toEqual(packets.map((_, i) => i));
  expect(packets.map((ip) => ip.readUInt32BE(24))).toEqual(packets.map((_, i) => 1 + 1448 * i));
  // PSH is the last one's alone.
  expect(packets.map((ip) => ip[33])).toEqual(packets.map((_, i) => (i === 13 ? 0x18 : 0x10)));
  for (const ip of packets) {
    const pseudo = sumOf(ip.subarray(12, 20), 6 + ip.length - 20);
    expect([sumOf(ip.subarray(0, 20)), sumOf(ip.subarray(20), pseudo)]).toEqual([0xffff, 0xffff]);
  }
  const sent = Buffer.from(Uint8Array.from({ length: 20_000 }, (_, i) => i * 11 + (i >>> 8)));
  expect(Buffer.concat(packets.map((ip) => ip.subarray(40)))).toEqual(sent);
}

/** A way that the driver can have its interrupts, and what the guest's kernel calls them. */
const MSIX = {
  mode: 2,
  lines: ['PCI-MSIX-0000:01:00.0 0-edge', 'PCI-MSIX-0000:01:00.0 1-edge', 'PCI-MSIX-0000:01:00.0 2-edge'],
};
const MSI = { mode: 1, lines: ['PCI-MSI-0000:01:00.0 0-edge'] };
const PIN = { mode: 0, lines: [expect.stringMatching(/IO-APIC \d+-fasteoi/)] };

needs([
  ['MSI-X', MSIX, false],
  ['MSI', MSI, false],
  ['INTx', PIN, false],
  ['MSI-X, and an IOMMU of its own', MSIX, true],
])(
  name(
    "the guest's own e1000e driver has a link, moves frames, long ones too, and has segments made by the card: with %s",
  ),
  async (_words, { mode, lines }, viommu) => {
    const echo = new Echo();
    const modules = [`e1000e IntMode=${mode}`];
    const options = { modules, viommu, beside: (served: ServedMachine) => echo.start(served) };
    const { guest, config } = await inGuest(MACHINE, CARD!, '8086:10d3', 4096, options);
    expectSame(guest, config);
    expect(guest.values('iommu')).toEqual([viommu ? 'yes' : 'no']);
    expect(guest.values('mac')).toEqual(['02:00:00:00:01:00']);
    expect(guest.values('link')).toEqual(['up']);
    const sizes = [60, 61, 128, 590, 1024, 1499, 1514, 1515, 3000, 4014];
    expect(guest.values('frame')).toEqual(sizes.map((bytes) => `${bytes} same`));
    expect([guest.values('rx_errors'), guest.values('tx_errors')]).toEqual([['0'], ['0']]);
    const shown = guest.values('vector').map((line) => line.replace(/^\s*\d+:\s+\d+\s+/, '').replace(/\s+eth0.*/, ''));
    expect(shown.map((line) => line.replace(/^IR-/, '').replace(/\s+/, ' '))).toEqual(lines);
    expect(guest.values('segments')).toEqual(['20000']);
    expectSegments(echo.segments);
  },
  3 * MINUTES,
);
