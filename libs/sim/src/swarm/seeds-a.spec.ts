import { everySeedIsClean } from './testing/seeds.js';

// Two files, so that two processors share the thousand.
everySeedIsClean(1, 500);
