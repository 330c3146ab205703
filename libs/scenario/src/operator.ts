/** The client that makes the host and ends processes; no process of a scenario may be taken for it. */
export const OPERATOR = 'operator';
