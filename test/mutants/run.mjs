/**
 * Looks for every planted mistake, or for those that are named, with each hunt until one finds it; ends with 1 when one is
 * not found.
 *
 * Usage: node test/mutants/run.mjs [--seeds N] [NAME...]
 */
import { parseArgs } from 'node:util';
import { mutants } from './mutants.mjs';
import { seek } from './seeker.mjs';

const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string', default: '10000' } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => mutants.every((m) => m.name !== name));
if (unknown.length > 0 || !/^[1-9]\d{0,6}$/.test(values.seeds)) {
  console.error(`Usage: run.mjs [--seeds N] [NAME...]; there are ${mutants.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}

const rangeOf = (hunt) => (hunt === 'crash-points' ? ['0', '1000000', '7'] : ['1', values.seeds, '1']);

let missed = 0;
for (const { name, hunts, says } of mutants) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  console.log(`${name}: ${says}`);
  let found = false;
  for (const hunt of hunts) {
    const began = Date.now();
    const { tried, at, found: what } = seek(name, hunt, ...rangeOf(hunt));
    const seconds = ((Date.now() - began) / 1000).toFixed(0);
    console.log(`  ${hunt}: ${what ? `found after ${tried}, at ${at}` : `not found in ${tried}`} (${seconds} s)`);
    if (what) console.log(`    ${what.split('\n')[0].slice(0, 160)}`);
    found ||= what !== undefined;
    if (found) break;
  }
  if (!found) missed++;
}
console.log(missed === 0 ? 'All were found.' : `${missed} were not found.`);
process.exit(missed === 0 ? 0 : 1);
