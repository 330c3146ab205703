/**
 * The points of five documents of the people who designed vfio and iommufd, each as a scenario that runs.
 *
 * Rule: what a scenario expects is the whole check, with and without faults of the lab's own; besides, no invariant may be
 * broken when it ends. `vfiolab run FILE` shows
 * one of them step by step.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readScenarioFile, runScenario } from '@vfiolab/scenario';
import { simulate } from '@vfiolab/sim';
import { startEmbedded } from '@vfiolab/testbed';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const isDocument = (name: string): boolean => /-\d{4}$/.test(name);
const documents = readdirSync(HERE).filter(isDocument).sort();

describe.each(documents)('%s', (document) => {
  const files = readdirSync(join(HERE, document))
    .filter((name) => name.endsWith('.yaml'))
    .sort();

  it.each(files)('%s', async (name) => {
    const scenario = readScenarioFile(join(HERE, document, name));
    const dir = mkdtempSync(join(tmpdir(), 'vfiolab-seeds-'));
    const environment = await startEmbedded({ dir: join(dir, 'run'), durability: 'none' });
    const { failure } = await runScenario(scenario, environment);
    const { broken } = await environment.end();
    rmSync(dir, { recursive: true });
    expect(failure?.message).toBeUndefined();
    expect(broken).toEqual([]);
  });

  it.each(files)('%s: frames are lost, services crash, and the answers are the same', async (name) => {
    const scenario = readScenarioFile(join(HERE, document, name));
    for (const seed of [1, 2]) {
      const { scenario: run, end } = await simulate(scenario, { seed });
      expect([seed, run.failure?.message, end.broken]).toEqual([seed, undefined, []]);
    }
  });
});

it('there is a folder for each of the five documents', () => expect(documents).toHaveLength(5));
