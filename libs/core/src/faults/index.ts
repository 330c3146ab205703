export { deviceFaultOf, readRules, type RuleProblem, ruleProblemText, addressOfEnd, CLAUSES } from './read-rule.js';
export { type EdgePorts, type EdgeState, FaultEdge, MAX_WAITING, type Trouble } from './fault-edge.js';
export { methodCalled, methodNames } from './methods.js';
export { REFUSABLE, type Refusable } from './refusable.js';
export { ruleWords } from './rule-words.js';
export {
  FRAME_KINDS,
  type BreakRule,
  MAX_RULES,
  mergeStatus,
  type RawRule,
  type RawRules,
  type RuleStatus,
  VERBS,
} from './rule.js';
