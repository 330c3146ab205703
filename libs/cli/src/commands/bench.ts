/** `vfiolab bench`: figures with their denominators. */
import { suggestion } from '@vfiolab/scenario';
import { benches } from '../bench/benches.js';
import type { Bench, Figure } from '../bench/bench.js';
import { type Command, OK, UsageError } from '../command.js';

function chosen(name: string | undefined): readonly Bench[] {
  const found = name === undefined ? benches : benches.filter((each) => each.name === name);
  if (found.length > 0) return found;
  throw new UsageError(
    `There is no benchmark ${JSON.stringify(name)}. ${suggestion(
      name!,
      benches.map((each) => each.name),
    )}`,
  );
}

const digits = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

const line = ({ name, value, unit, denominator, ratio }: Figure): string =>
  `  ${name}: ${digits(value)} ${unit} = ${digits(ratio)} x ${denominator.name} (${digits(denominator.value)} ${unit})`;

export const bench: Command = {
  name: 'bench',
  summary: 'measure, every figure as a ratio of one run',
  positionals: ['[NAME]'],
  options: {},
  details: `
Without NAME all benchmarks run, one after the other:
${benches.map(({ name, about }) => `  ${name.padEnd(12)} ${about}`).join('\n')}`,
  run: async (input, { terminal, engine, json }) => {
    const results: { name: string; figures: Figure[] }[] = [];
    for (const { name, about, run } of chosen(input.positionals[0])) {
      terminal.progress(`measuring ${name} ...`);
      const figures = await run(engine);
      results.push({ name, figures });
      if (!json) terminal.out([terminal.style('bold', `${name}: ${about}`), ...figures.map(line)].join('\n'));
    }
    if (json) terminal.json({ benches: results });
    return OK;
  },
};
