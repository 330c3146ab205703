import { everySeedIsClean } from './testing/seeds.js';

everySeedIsClean(501, 1000);
