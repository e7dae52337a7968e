import { CholeskyDecomposition, EigenvalueDecomposition, Matrix } from 'ml-matrix'

/**
 * Coefficients of a linear model that are pulled towards known ones: minimises
 * |y − xB|² + weight · |B − target|².
 *
 * @param squares XᵀX, k × k, row by row.
 * @param products XᵀY, k × m.
 * @param target k × m.
 * @param weight > 0: how many rows of scaled data the target is worth. With it the equations can always
 *   be solved, more unknowns than rows or not.
 * @returns k × m, row by row.
 *
 * Source: A. E. Hoerl, R. W. Kennard, Ridge regression, Technometrics 12 (1970).
 */
export function ridgeTowards(
  squares: Float64Array,
  products: Float64Array,
  target: Float64Array,
  weight: number
): Float64Array {
  const k = Math.sqrt(squares.length)
  const m = products.length / k
  const left = new Matrix(k, k)
  const right = new Matrix(k, m)
  for (let a = 0; a < k; a++) {
    for (let b = 0; b < k; b++) left.set(a, b, squares[a * k + b] + (a === b ? weight : 0))
    for (let j = 0; j < m; j++) {
      right.set(a, j, products[a * m + j] + weight * target[a * m + j])
    }
  }
  return Float64Array.from(new CholeskyDecomposition(left).solve(right).to1DArray())
}

/**
 * Covariance of rows around zero, shrunk towards that of equal, independent columns by as much as the
 * rows are few.
 *
 * @param tables Each rows × m, row by row.
 * @returns m × m, row by row; positive definite unless all is zero.
 *
 * Source: O. Ledoit, M. Wolf, A well-conditioned estimator for large-dimensional covariance matrices,
 * Journal of Multivariate Analysis 88 (2004), (14) and lemma 3.2 to 3.4.
 */
export function shrunkCovariance(tables: readonly Float64Array[], m: number): Float64Array {
  const n = tables.reduce((sum, table) => sum + table.length / m, 0)
  const sample = new Float64Array(m * m)
  // Σ |x xᵀ|², for the mean square distance of x xᵀ to its mean.
  let fourth = 0
  for (const table of tables) {
    for (let at = 0; at < table.length; at += m) {
      let square = 0
      for (let i = 0; i < m; i++) {
        const x = table[at + i]
        square += x * x
        for (let j = 0; j < m; j++) sample[i * m + j] += (x * table[at + j]) / n
      }
      fourth += square * square
    }
  }
  let size = 0
  for (let i = 0; i < m; i++) size += sample[i * m + i] / m
  const norm = sample.reduce((sum, s) => sum + s * s, 0)
  const distance = norm - m * size * size
  const error = Math.min(distance, (fourth / n - norm) / n)
  const share = distance > 0 ? Math.max(0, error) / distance : 1
  return sample.map((s, at) => {
    const diagonal = at % (m + 1) === 0
    return (1 - share) * s + (diagonal ? share * size : 0)
  })
}

/** Smaller ones are noise of the arithmetic: a direction in which nothing moved. */
const EIGENVALUE_MIN = 1e-6

/**
 * V with |xV|² = xᵀS⁻¹x, chosen so that each component stays as close as it can to its own column:
 * the squares are then what each column has to do with it.
 *
 * @param covariance S, m × m, row by row.
 * @returns m × m, row by row.
 *
 * Source: P. H. Garthwaite, I. Koch, Evaluating the contributions of individual variables to a
 * quadratic form, Australian & New Zealand Journal of Statistics 58 (2016): the corr-max
 * transformation.
 */
export function contributionWhitening(covariance: Float64Array): Float64Array {
  const m = Math.sqrt(covariance.length)
  let largest = 0
  for (let i = 0; i < m; i++) largest = Math.max(largest, covariance[i * m + i])
  const scale = Float64Array.from({ length: m }, (_, i) =>
    Math.sqrt(Math.max(covariance[i * m + i], EIGENVALUE_MIN * largest) || 1)
  )
  const correlation = new Matrix(m, m)
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < m; j++) {
      correlation.set(i, j, i === j ? 1 : covariance[i * m + j] / (scale[i] * scale[j]))
    }
  }
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(correlation, {
    assumeSymmetric: true
  })
  const roots = realEigenvalues.map(value => 1 / Math.sqrt(Math.max(value, EIGENVALUE_MIN)))
  const out = new Float64Array(m * m)
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < m; j++) {
      let sum = 0
      for (let k = 0; k < m; k++) {
        sum += eigenvectorMatrix.get(i, k) * roots[k] * eigenvectorMatrix.get(j, k)
      }
      out[i * m + j] = sum / scale[i]
    }
  }
  return out
}
