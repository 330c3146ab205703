export { readRules, type RuleProblem, ruleProblemText } from './read-rule.js';
export { deviceFaultOf } from './rule-values.js';
export { type EdgePorts, type EdgeState, FaultEdge, MAX_WAITING, type Trouble } from './fault-edge.js';
export { methodCalled, methodNames } from './methods.js';
export { REFUSABLE, type Refusable } from './refusable.js';
export { ruleWords } from './rule-words.js';
export { type BreakRule, MAX_RULES, mergeStatus, type RawRule, type RawRules, type RuleStatus } from './rule.js';
