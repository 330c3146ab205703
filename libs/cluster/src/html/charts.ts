/**
 * Plots as SVG: lines and stacked bars.
 *
 * Rule: a plot says in words what it shows, its axes have units, and colours repeat only with another pattern of dashes.
 */
import { type Markup, markup } from './markup.js';
import { type Scale, scaleOf } from './scale.js';

export interface Axis {
  /** With its unit. */
  readonly title: string;
  readonly from?: number;
  readonly to?: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

export interface Plot {
  readonly title: string;
  /** What there is to see, for who cannot see it. */
  readonly about: string;
  readonly x: Axis;
  readonly y: Axis;
}

const WIDTH = 720;
const HEIGHT = 340;
const LEFT = 64;
const RIGHT = 16;
const TOP = 14;
const BOTTOM = 52;
/** With more bars their names are small. */
const FEW = 6;
/** Classes of the page's style: as many colours, then the same ones dashed. */
export const COLOURS = 6;

const place = ({ from, to }: Scale, value: number, start: number, end: number): number =>
  start + ((value - from) / (to - from)) * (end - start);
const short = (value: number): string => String(Math.round(value * 10) / 10);

export const colourOf = (i: number): string => `c${i % COLOURS}${i >= COLOURS ? ' dashed' : ''}`;

const xOf = (scale: Scale, value: number): string => short(place(scale, value, LEFT, WIDTH - RIGHT));
const yOf = (scale: Scale, value: number): string => short(place(scale, value, HEIGHT - BOTTOM, TOP));

function frame(
  { title, about, x, y }: Plot,
  scaleX: Scale | undefined,
  scaleY: Scale,
  inside: readonly Markup[],
): Markup {
  const [bottom, right] = [HEIGHT - BOTTOM, WIDTH - RIGHT];
  const middle = (LEFT + right) / 2;
  return markup`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}. ${about}">
    <title>${title}</title>
    ${scaleY.ticks.map(
      (tick) =>
        markup`<line class="grid" x1="${LEFT}" x2="${right}" y1="${yOf(scaleY, tick)}" y2="${yOf(scaleY, tick)}" />
          <text class="end" x="${LEFT - 8}" y="${yOf(scaleY, tick)}" dy="4">${scaleY.label(tick)}</text>`,
    )}
    ${scaleX?.ticks.map(
      (tick) =>
        markup`<line class="axis" x1="${xOf(scaleX, tick)}" x2="${xOf(scaleX, tick)}" y1="${bottom}" y2="${bottom + 5}" />
          <text class="middle" x="${xOf(scaleX, tick)}" y="${bottom + 20}">${scaleX.label(tick)}</text>`,
    )}
    <line class="axis" x1="${LEFT}" x2="${right}" y1="${bottom}" y2="${bottom}" />
    <text class="middle" x="${middle}" y="${HEIGHT - 10}">${x.title}</text>
    <text class="middle" transform="translate(14 ${(TOP + bottom) / 2}) rotate(-90)">${y.title}</text>
    ${inside}
  </svg>`;
}

const bound = (given: number | undefined, values: readonly number[], pick: 'min' | 'max'): number =>
  given ?? values.reduce((so, each) => Math[pick](so, each), pick === 'min' ? Infinity : -Infinity);

function scaleFor(axis: Axis, values: readonly number[]): Scale {
  return scaleOf(bound(axis.from, values, 'min'), bound(axis.to, values, 'max'));
}

const key = (i: number): Markup =>
  markup`<svg viewBox="0 0 24 10" aria-hidden="true"><line class="line ${colourOf(i)}" x1="0" x2="24" y1="5" y2="5" /></svg>`;

const figure = ({ title, about }: Plot, plot: Markup, names: readonly string[]): Markup =>
  markup`<figure>
    <figcaption><strong>${title}.</strong> ${about}</figcaption>
    ${plot}
    <ul class="legend">
      ${names.map((name, i) => markup`<li>${key(i)}${name}</li>`)}
    </ul>
  </figure> `;

/** Undefined: there is nothing to draw. */
export function lineChart(plot: Plot, given: readonly Series[]): Markup | undefined {
  const series = given.filter(({ points }) => points.length > 0);
  if (series.length === 0) return undefined;
  const all = series.flatMap(({ points }) => points);
  const x = scaleFor(
    plot.x,
    all.map(([at]) => at),
  );
  const y = scaleFor(
    plot.y,
    all.map(([, value]) => value),
  );
  const lines = series.map(({ name, points }, i) => {
    const path = points.map(([at, value]) => `${xOf(x, at)},${yOf(y, value)}`).join(' ');
    return markup`<polyline class="line ${colourOf(i)}" points="${path}"><title>${name}</title></polyline> `;
  });
  return figure(
    plot,
    frame(plot, x, y, lines),
    series.map(({ name }) => name),
  );
}

export interface Stack {
  readonly name: string;
  /** By part. */
  readonly values: readonly number[];
}

/** A bar for each stack, of the parts that `parts` names. */
export function stackedBars(plot: Plot, parts: readonly string[], stacks: readonly Stack[]): Markup | undefined {
  if (stacks.length === 0 || parts.length === 0) return undefined;
  const sums = stacks.map(({ values }) => values.reduce((sum, each) => sum + each, 0));
  const y = scaleOf(0, Math.max(...sums) || 1);
  const room = (WIDTH - LEFT - RIGHT) / stacks.length;
  const wide = Math.min(72, 0.7 * room);
  const bars = stacks.flatMap(({ name, values }, at) => {
    const middle = LEFT + room * (at + 0.5);
    let under = 0;
    const made = values.map((value, i) => {
      const from = under;
      under += value;
      if (value === 0) return undefined;
      const top = place(y, under, HEIGHT - BOTTOM, TOP);
      const tall = place(y, from, HEIGHT - BOTTOM, TOP) - top;
      return markup`<rect
        class="area ${colourOf(i)}"
        x="${short(middle - wide / 2)}"
        width="${short(wide)}"
        y="${short(top)}"
        height="${short(tall)}"
        ><title>${name}, ${parts[i]}: ${value.toFixed(2)}</title></rect
      > `;
    });
    return [
      markup`${made}<text class="middle${stacks.length > FEW ? ' small' : ''}" x="${short(middle)}" y="${HEIGHT - BOTTOM + 20}">${name}</text> `,
    ];
  });
  return figure(plot, frame(plot, undefined, y, bars), parts);
}
