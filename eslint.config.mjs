import tseslint from 'typescript-eslint';

const core = [
  'uapi',
  'core',
  'pci',
  'groups',
  'pages',
  'iommu',
  'iommufd',
  'container',
  'devices',
  'vfio',
  'lab',
  'cluster',
].map((n) => `libs/${n}/src/**/*.ts`);

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', 'runs/**', '**/*.js', '**/*.mjs', '**/*.cjs'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommended, ...tseslint.configs.stylistic],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/prefer-for-of': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'max-lines': ['error', { max: 450, skipBlankLines: true, skipComments: true }],
      eqeqeq: 'error',
    },
  },
  {
    // A core is a function of its inputs: nothing in it may know the time, chance, or the machine it runs on.
    files: core,
    ignores: ['**/*.spec.ts', '**/testing/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        'process',
        'setTimeout',
        'setInterval',
        'setImmediate',
        'queueMicrotask',
        'performance',
        'Buffer',
        'console',
        'fetch',
        'crypto',
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Time arrives in the input.' },
        { object: 'Math', property: 'random', message: 'Randomness arrives in the input.' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: 'NewExpression[callee.name="Date"]', message: 'Time arrives in the input.' },
        {
          selector:
            'FunctionDeclaration[async=true], ArrowFunctionExpression[async=true], MethodDefinition > FunctionExpression[async=true]',
          message: 'A core does not wait by promises: it yields effects.',
        },
      ],
    },
  },
  {
    files: ['**/caller.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
);
