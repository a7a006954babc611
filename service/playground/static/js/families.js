// What the families of models are, in plain words: the one table of them. A test compares it with the families that
// there are (models/families).

/** The name of a family in a manifest → its name in prose, and how it makes rows of noise. */
export const FAMILIES = {
  nice: ["a NICE flow", "each layer shifts half of a row's numbers by an amount that the other half decides"],
  realnvp: ["a RealNVP flow", "each layer shifts and stretches half of a row's numbers, by amounts that the other half decides"],
  glow: ["a Glow flow", "each layer mixes the numbers of a row (of an image its channels), then shifts and stretches half of them by what the other half decides"],
  nsf: ["a neural spline flow", "each layer bends half of a row's numbers along smooth curves, splines, that the other half decides"],
  maf: ["a masked autoregressive flow (MAF)", "each number is shifted and stretched by what the numbers before it decide: it scores rows at once, and draws them number by number"],
  "maf-mog": ["a masked autoregressive flow on mixtures of Gaussians (MAF MoG)", "each number depends on the numbers before it, in the last layer by a mixture of Gaussians"],
  "maf-logistic": ["a masked autoregressive flow with mixtures of logistic curves", "each number depends on the numbers before it by a mixture of several peaks"],
  "nsf-ar": ["an autoregressive neural spline flow", "each number is bent along a smooth curve, a spline, that the numbers before it decide"],
  iaf: ["an inverse autoregressive flow (IAF)", "a masked autoregressive flow turned round: it draws rows at once, and scores them number by number"],
  wavenet: ["a WaveNet", "each value of a sequence depends on the values before it, by convolutions: it scores sequences at once, and draws them value by value"],
  "parallel-wavenet": ["a parallel WaveNet", "a WaveNet turned round: it draws all values of a sequence at once, and scores them value by value"],
  transformer: ["a transformer flow", "each number, or patch of an image, depends by attention on those before it: it scores rows at once, and draws them one by one"],
  "parallel-transformer": ["a parallel transformer flow", "a transformer flow turned round: it draws rows at once, and scores them one by one"],
  mintnet: ["a MintNet", "each layer is a convolution in which every pixel depends on those on one side of it"],
  planar: ["a planar flow", "each layer stretches or squeezes space across one line or plane"],
  radial: ["a radial flow", "each layer pulls space towards a centre, or pushes it away"],
  sylvester: ["a Sylvester flow", "each layer stretches or squeezes space across several planes at once"],
  gaussianization: ["a Gaussianization flow", "each layer makes every number by itself a bell curve, then rotates space"],
  "iterative-gaussianization": ["an iterative Gaussianization", "as long as rows are not yet noise, it makes every number by itself a bell curve and rotates space, fitted step by step"],
  tabular: ["a density of typed columns", "each column, of numbers, times or classes, depends on the columns before it, and gets probabilities of its own kind"],
  "tabular-transformer": ["a transformer of typed columns", "each column, of numbers, times or classes, depends by attention on the columns before it, and gets probabilities of its own kind"],
};
