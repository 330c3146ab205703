import { files, sealedBench, SETUP, SMALL_MACHINE } from './testing/machines.js';

const MAP = ['00000000-00000fff : Reserved', '00001000-0009fbff : System RAM'];
const WITH_MAP = JSON.stringify({ ...(JSON.parse(SMALL_MACHINE) as object), memory_map: { '7.2': MAP } });
const on = (profile: string, machine = WITH_MAP, answers = {}) =>
  files(sealedBench(answers, { ...SETUP, profile }, machine));

it.each([
  ['6.12', '258 cpu_dma_latency\n196 vfio\n257 iommu\n183 hw_random\n256 vga_arbiter\n'],
  ['7.2', '259 cpu_dma_latency\n196 vfio\n258 udmabuf\n257 iommu\n183 hw_random\n256 vga_arbiter\n'],
])('/proc/misc of %s (a051)', (profile, text) => expect(on(profile).read('/proc/misc')).toBe(text));

it('what a kernel is configured with is in /dev and /sys/class too', () => {
  const fs = on('7.2');
  expect(fs.stat('/dev/udmabuf')).toEqual({ kind: 'chr', mode: 0o600, major: 10, minor: 258 });
  expect([fs.resolve('/dev/udmabuf'), fs.list('/sys/class/dma')]).toEqual(['pages', []]);
});

it('/proc/iomem is what the description has for the release, for root only', () => {
  expect(on('7.2').read('/proc/iomem')).toBe(`${MAP.join('\n')}\n`);
  expect(on('7.2').stat('/proc/iomem')).toMatchObject({ mode: 0o400 });
  expect(on('7.2', WITH_MAP, { pages: { userOf: () => 7 } }).read('/proc/iomem')).toBe('EACCES');
  expect(on('6.12').read('/proc/iomem')).toBe('ENOENT');
  expect(on('7.2', SMALL_MACHINE).read('/proc/iomem')).toBe('ENOENT');
});
