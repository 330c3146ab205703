// Imports go one way: uapi <- core <- {sim, services, client}, uapi <- shell <- services (DESIGN: ARCHITECTURE.md).
const cores = '^libs/(groups|pages|iommu|iommufd|container|vfio|lab|devices|pci)/';
const spec = '(\\.spec\\.ts$|/testing/)';
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: { pathNot: spec },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'uapi-imports-nothing',
      severity: 'error',
      from: { path: '^libs/uapi/', pathNot: spec },
      to: { pathNot: '^libs/uapi/' },
    },
    {
      name: 'pci-imports-nothing',
      severity: 'error',
      from: { path: '^libs/pci/', pathNot: spec },
      to: { pathNot: '^libs/pci/' },
    },
    {
      name: 'the-mechanism-imports-uapi-only',
      severity: 'error',
      from: { path: '^libs/core/', pathNot: spec },
      to: { pathNot: '^libs/(core|uapi)/' },
    },
    {
      name: 'cores-do-not-import-shell-client-or-node',
      severity: 'error',
      from: { path: cores, pathNot: spec },
      to: { pathNot: '^libs/(uapi|core|pci|groups|pages|iommu|iommufd|container|vfio|lab|devices)/' },
    },
    {
      name: 'cores-do-not-import-each-other',
      severity: 'error',
      from: { path: '^libs/(groups|pages|iommu|iommufd|container|vfio|lab)/', pathNot: spec },
      to: { path: '^libs/(groups|pages|iommu|iommufd|container|vfio|lab)/', pathNot: '^libs/$1/' },
    },
    {
      name: 'cluster-imports-topology-only',
      severity: 'error',
      from: { path: '^libs/cluster/', pathNot: spec },
      to: { path: '^libs/', pathNot: '^libs/(cluster|pci|uapi)/' },
    },
    {
      name: 'shell-knows-no-core',
      severity: 'error',
      from: { path: '^libs/shell/', pathNot: spec },
      to: { path: '^libs/', pathNot: '^libs/(shell|core|uapi)/' },
    },
    {
      name: 'vfio-user-is-a-client',
      severity: 'error',
      from: { path: '^libs/vfio-user/', pathNot: spec },
      to: { path: '^libs/', pathNot: '^libs/(vfio-user|client|core|uapi)/' },
    },
    {
      name: 'services-do-not-import-each-other',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/', pathNot: '^services/$1/' },
    },
    {
      name: 'services-are-thin',
      severity: 'error',
      from: { path: '^services/', pathNot: spec },
      to: { path: '^libs/', pathNot: '^libs/(shell|host)/' },
    },
  ],
  options: {
    doNotFollow: { path: '(node_modules|dist)' },
    exclude: { path: '/node_modules/.*/node_modules/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'node', 'default'] },
  },
};
