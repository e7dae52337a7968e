/** The wall clock of a box is not believed before this release was made. Epoch ms. */
export const RELEASED_AT = Date.UTC(2026, 10, 1)
