// Tests run on the TypeScript sources: no build is needed first.
export default {
  testEnvironment: 'node',
  // Programs of a few hundred system calls take a second, and several on a machine that does other things too.
  testTimeout: 30_000,
  testMatch: ['<rootDir>/libs/**/src/**/*.spec.ts', '<rootDir>/services/**/*.spec.ts', '<rootDir>/test/**/*.spec.ts'],
  modulePathIgnorePatterns: ['<rootDir>/(?:libs|services)/[^/]+/dist/'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^@vfiolab/([a-z-]+)$': '<rootDir>/libs/$1/src/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: false },
        },
        module: { type: 'es6' },
      },
    ],
  },
};
