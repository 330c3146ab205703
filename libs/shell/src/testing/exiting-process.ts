/** Child process of a test: it has twenty things to end when it exits, and ends one of them before. */
import { atExit } from '../at-exit.js';

const forget = Array.from({ length: 20 }, (_, i) => atExit(() => console.log(`ended ${i}`)));
forget[7]!();
process.exit(0);
