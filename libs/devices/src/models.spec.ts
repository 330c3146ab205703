import { describedModel, modelNames } from './models.js';

it.each([
  ['', { name: '', timing: {} }],
  ['nvme', { name: 'nvme', timing: {} }],
  ['gpu reset=1500 stuck-every=3', { name: 'gpu', timing: { reset: 1500, stuckEvery: 3 } }],
  ['gpu reset=0', { name: 'gpu', timing: { reset: 0 } }],
  [
    'gpu read=10000 reset=3600000 stuck-every=1000',
    { name: 'gpu', timing: { read: 10_000, reset: 3_600_000, stuckEvery: 1000 } },
  ],
  ['teapot', undefined],
  ['gpu brew=1', undefined],
  ['gpu reset', undefined],
  ['gpu reset=-1', undefined],
  ['gpu reset=1.5', undefined],
  ['gpu  reset=1', undefined],
  ['gpu read=10001', undefined],
  ['gpu reset=3600001', undefined],
  ['gpu stuck-every=1001', undefined],
])('a description says %j', (text, model) => expect(describedModel(text)).toEqual(model));

it('every model can be described', () =>
  expect(modelNames.filter((name) => describedModel(name)?.name !== name)).toEqual([]));
