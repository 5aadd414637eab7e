// Package veil answers one question: what of a text, or of a page, shows a person, for somebody who may not see people?
//
// A person is the local part of a mail address. There are two ways in which a text shows one: as an address, with an @ behind it, which is
// known for one wherever it stands (Text); and by itself, as MXs do ("550 5.1.1 bob: user unknown"), which only somebody knows who knows whom the
// text is about (People). A page has both: whoever is named in any of its texts is hidden in all of them (Model). What is kept of a reply without
// the mail that it was about loses its people when it is kept (Said): later nobody knows whom it names.
//
// Domains stay: which domain mail is for is what an operator needs.
//
// Reading order:
//
//	text.go    Text, Said
//	people.go  People, who stand by themselves
//	model.go   Model, a page as a whole
package veil
