/**
 * HTML made by hand.
 *
 * Words: *markup* is text that is HTML already; all other text is escaped when it goes into markup.
 * Rule: nothing that came from a file reaches a page but through `markup`.
 */
export class Markup {
  constructor(readonly text: string) {}
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export const escaped = (text: string): string => text.replace(/[&<>"']/g, (each) => ESCAPES[each]!);

export type Part = Markup | string | number | undefined | readonly Part[];

const textOf = (part: Part): string => {
  if (part === undefined) return '';
  if (part instanceof Markup) return part.text;
  if (Array.isArray(part)) return part.map(textOf).join('');
  return escaped(String(part as string | number));
};

/** Values are escaped; markup, and lists of it, go in as they are. */
export const markup = (texts: TemplateStringsArray, ...parts: readonly Part[]): Markup =>
  new Markup(texts.reduce((made, text, i) => made + textOf(parts[i - 1]) + text));

/** A table; the first column is what its row is about. Numbers stand on the right. */
export function table(caption: string, [head, ...rows]: readonly (readonly Part[])[]): Markup {
  const cell = (value: Part): Markup => markup`<td${isNumber(value) ? NUMBER : ''}>${value}</td>`;
  return markup`<div class="wide">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${head!.map((each) => markup`<th scope="col">${each}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([first, ...rest]) =>
            markup`<tr>
              <th scope="row">${first}</th>
              ${rest.map(cell)}
            </tr> `,
        )}
      </tbody>
    </table>
  </div> `;
}

const NUMBER = new Markup(' class="number"');
const isNumber = (part: Part): boolean =>
  typeof part === 'number' || (typeof part === 'string' && /^[-+]?[\d,.]+( ?[%a-zA-Z]{0,4})?$/.test(part));

export const thousands = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
