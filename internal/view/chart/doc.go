// Package chart draws SVG on the server: what came of mail over time, how long phases took, which part of an attempt took how long. No
// script, no inline style: a strict content security policy holds, and colours are classes of chart.css, so that they follow the reader's
// light or dark scheme. State is never told by colour alone: each kind has a pattern of its own, each line a stroke of its own.
//
// Places along the time are per cent, so a chart fits any width and its text stays readable. A chart stands over a table of the same
// figures, or beside the figure that it shows: it is read out by its title and description only.
//
// Texts may be a stranger's: they go through html/template like those of any page.
package chart
