import { encodeEmptyFrame, emptyHeader, REQUEST } from '@vfiolab/core';
import { Agenda } from './agenda.js';
import { Dice } from './dice.js';
import { Faults } from './faults/faults.js';
import { Network } from './network.js';
import { CALM } from './options.js';

it('nothing is kept of links from and to an address that is forgotten', () => {
  const network = new Network(new Agenda(), new Faults(new Dice(1)), CALM, () => undefined);
  const frame = encodeEmptyFrame({ ...emptyHeader(), kind: REQUEST, id: 1 });
  const links = (): number =>
    [...(network as unknown as { links: Map<string, Map<string, unknown>> }).links.values()].reduce(
      (sum, each) => sum + each.size,
      0,
    );
  network.send('pages', 'iommu', frame);
  const before = links();
  network.send('client:a', 'pages', frame);
  network.send('pages', 'client:a', frame);
  expect(links()).toBe(before + 2);
  network.forget('client:a');
  expect(links()).toBe(before);
});
