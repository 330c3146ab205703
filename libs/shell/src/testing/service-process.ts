/** Child process of tests: the service named by its argument, with a test core, configured by the environment. */
import { bootstrap } from '../bootstrap.js';
import { testCores } from './counter-core.js';

await bootstrap(process.argv[2]!, testCores);
