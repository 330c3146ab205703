/** `vfiolab fault`: lets things go wrong in a lab that is running. */
import { existsSync, readFileSync } from 'node:fs';
import type { RawRules, RuleStatus } from '@vfiolab/core';
import { readFaults, ScenarioError, suggestion } from '@vfiolab/scenario';
import { type Command, type Input, OK, UsageError } from '../command.js';
import type { FaultOperator } from '../engine.js';
import { planTable } from '../plan-table.js';

const VERBS = ['list', 'add', 'clear', 'release'] as const;
type Verb = (typeof VERBS)[number];

function verbOf(text: string): Verb {
  const verb = VERBS.find((each) => each === text);
  if (!verb) throw new UsageError(`There is nothing called ${JSON.stringify(text)} to do. ${suggestion(text, VERBS)}`);
  return verb;
}

/** Rules from a file, or as the argument has them. */
function rulesOf(argument: string | undefined): RawRules {
  if (argument === undefined)
    throw new UsageError(
      "RULES are missing. Give a file, or a text such as 'lag: { delay: requests, to: iommu, by: 40ms }'.",
    );
  const isFile = existsSync(argument);
  try {
    return readFaults(isFile ? readFileSync(argument, 'utf8') : argument, isFile ? argument : 'RULES');
  } catch (error) {
    if (error instanceof ScenarioError) throw new UsageError(error.message);
    throw error;
  }
}

/** What is to be done, read before anybody is asked. */
function workOf(input: Input): (operator: FaultOperator) => Promise<void> {
  const [, text = '', ...rest] = input.positionals;
  const verb = verbOf(text);
  if (verb === 'add') {
    const rules = rulesOf(rest[0]);
    if (rest.length > 1) throw new UsageError('add takes one argument. Put the rules between quotes.');
    return (operator) => operator.add(rules);
  }
  if (verb === 'list') return () => Promise.resolve();
  return (operator) => operator[verb](rest);
}

export const fault: Command = {
  name: 'fault',
  summary: 'let things go wrong in a running lab: a fault plan',
  positionals: ['LAB', 'list|add|clear|release', '[RULES|NAME]...'],
  options: {
    instance: { value: 'NAME', about: 'instance that serves the host, in a lab that `vfiolab up` keeps' },
    key: {
      value: 'FILE',
      about: "the operator's key, when the server asks for one: keys/operator.nk in the lab's folder",
    },
  },
  details: `
LAB is nats://SERVER:PORT/TENANT/LAB/HOST, as \`vfiolab run --nats\` shows it. RULES is a file, or a text: rules by name, as in the
section \`faults\` of a scenario (docs/faults.md). Every rule is one sentence: what happens, where, when, how often. clear ends rules
and release lets go of what they hold: those that are named, or all. Afterwards the rules that there are, and what they did.

  vfiolab fault nats://127.0.0.1:4222/default/lab/host0 list
  vfiolab fault LAB add 'lag: { delay: requests, to: iommu, by: 40ms, times: 100 }'
  vfiolab fault LAB add 'split: { partition: iommufd, from: pages, for: 2s }'
  vfiolab fault LAB add 'dies: { crash: pages, at: answers, of: pages.storeCreate, nth: 2, for: 500ms }'
  vfiolab fault LAB add 'stuck: { break: 0000:41:00.0, with: stuck-reset, ms: 5000, count: 1 }'
  vfiolab fault LAB clear lag`,
  run: async (input, { terminal, engine, json }) => {
    const work = workOf(input);
    const operator = await engine.faultOperator({
      url: input.positionals[0]!,
      instance: input.text('instance'),
      keyFile: input.text('key'),
    });
    let status: RuleStatus[];
    try {
      await work(operator);
      status = await operator.status();
    } finally {
      await operator.close();
    }
    if (json) terminal.json({ rules: status });
    else terminal.out(status.length === 0 ? 'There are no rules.' : planTable(status).join('\n'));
    return OK;
  },
};
