/**
 * One way in for a machine description of either form. Rule: text that starts with `{` is JSON, all else is lspci's.
 */
import { importFixture } from './import-fixture.js';
import { importLspci } from './import-lspci.js';
import type { Topology } from './topology.js';

/** Throws TopologyError when the text is neither a fixture nor lspci output, with the place of the first fault. */
export const importTopology = (text: string): Topology =>
  /^\uFEFF?\s*\{/.test(text) ? importFixture(text.replace(/^\uFEFF/, '')) : importLspci(text);
