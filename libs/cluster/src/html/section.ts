/** A part of a report. Rule: one that has nothing to show is left out. */
import { type Markup, markup, type Part } from './markup.js';

export interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: Markup;
}

export const section = (id: string, title: string, ...body: readonly Part[]): Section | undefined =>
  body.every((each) => each === undefined) ? undefined : { id, title, body: markup`${body}` };
