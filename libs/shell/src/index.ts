export { type CheckedJournal, JournalDamaged, ReplayDiverged } from './journal-check.js';
export * from './journal-entities.js';
export { type JournalReading, readJournal } from './journal-file.js';
export { chainHash, genesisHash, outputsDigest } from './journal-hash.js';
export * from './journal-seal.js';
export { type Durability, DURABILITIES, type JournalOptions, openJournal, SqliteJournal } from './sqlite-journal.js';
export { atExit } from './at-exit.js';
export type { Bus, Detach, Receive, ReceiveFor } from './bus.js';
export { MAX_UNDER_WAY, MemoryBus } from './memory-bus.js';
export { isUnanswered, NatsBus, type NatsBusOptions } from './nats-bus.js';
export type { BusEvent } from './nats-line.js';
export { findNatsServer, freePort, type NatsServer, type NatsServerOptions, startNatsServer } from './nats-server.js';
export { type Accounts, GUARD_LIMITS, guardConfig, type GuardLimits, KeyFolder, type NatsUser } from './nats-guard.js';
export * from './nats-subjects.js';
export { SLICE_MS, TurnScheduler } from './turn-scheduler.js';
export {
  ActorHost,
  type ActorHostOptions,
  HOST_LIMITS,
  MAX_ACTORS,
  MAX_EARLY,
  type SlotState,
  TICK_MS,
} from './actor-host.js';
export { bootstrap, KILLED } from './bootstrap.js';
export { type ActorStatus, ControlController } from './control.controller.js';
export { changePlan, type PlanChange } from './faults.controller.js';
export { HostList } from './host-list.js';
export { HostRefused, ServedHosts } from './served-hosts.js';
export { JournalFolder } from './journal-folder.js';
export { type Health, healthOf } from './health.js';
export { LabNatsServer } from './lab-nats-server.js';
export { FAMILIES, SERVICE_OPTIONS, ServiceModule, type ServiceOptions } from './service-module.js';
export { ConfigError, configFromEnvironment, MAX_HOSTS, type ShellConfig, type WatchAt } from './shell-config.js';
export { benchEmbedded } from './bench-embedded.js';
export { type Load, measure, type Measured } from './bench-load.js';
export { benchNats, NATS_VARIANTS, type NatsVariant } from './bench-nats.js';
