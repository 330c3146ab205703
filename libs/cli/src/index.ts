/** The public list of @vfiolab/cli. */
export { commands, main, start } from './main.js';
export { type Engine, engine } from './engine.js';
export { Terminal } from './terminal.js';
