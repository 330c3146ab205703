export { ContainerCore } from './container-core.js';
