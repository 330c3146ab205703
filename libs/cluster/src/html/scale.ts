/** Axes: numbers to places, with ticks at round numbers. */
export interface Scale {
  readonly ticks: readonly number[];
  readonly label: (value: number) => string;
  readonly from: number;
  readonly to: number;
}

const MOST_TICKS = 6;

/** From `from` to at least `to`, by steps of 1, 2 or 5 times a power of ten. */
export function scaleOf(from: number, to: number): Scale {
  const span = to > from ? to - from : 1;
  const rough = span / (MOST_TICKS - 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough * (1 - 1e-9))!;
  const first = Math.floor(from / step + 1e-9);
  const last = Math.ceil(from / step + span / step - 1e-9);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const label = (value: number): string => grouped(value.toFixed(digits));
  return { ticks, label, from: first * step, to: last * step };
}

const grouped = (text: string): string => {
  const [whole, rest] = text.split('.');
  const many = whole!.replace(/\B(?=(\d{3})+$)/g, ',');
  return rest === undefined ? many : `${many}.${rest}`;
};
