/** The public list of @vfiolab/pages: the core, and the bounds that its callers meet. */
export { MAX_EVENTFDS } from './eventfds.js';
export { MAX_FRAMES } from './frames.js';
export { PagesCore } from './pages-core.js';
export { MAX_FILE_BYTES } from './memory-file.js';
export { MAX_MEMORY_FILES } from './memory-files.js';
export { MAX_PROCESSES } from './processes.js';
export { MAX_STORES } from './stores.js';
export { MAX_VMAS } from './vma-set.js';
