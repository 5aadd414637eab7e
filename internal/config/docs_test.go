package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Every key that the program knows is described, and no other; its described default is the program's; its example parses.
func TestDocumentation(t *testing.T) {
	tables, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		for i := range table.Keys {
			key := &table.Keys[i]
			if key.Value == "" || key.Example == "" || key.Text == "" || key.Default != "" && key.DefaultIs != "" {
				t.Errorf("%s: want value, example, text, and at most one of default and default_is: %+v", key.Path(), *key)
			}
			if strings.Contains(key.Value+key.Fallback()+key.Example+key.Text, "|") {
				t.Errorf("%s: a bar would end the cell of a table", key.Path())
			}
			parseAlone(t, table.Heading, key.Name, key.Example)
			if key.Default == "" {
				continue
			}
			// A key that is set to its default changes nothing.
			if got, want := parseAlone(t, table.Heading, key.Name, key.Default), parseAlone(t, table.Heading, "", ""); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s is not the default", key.Path(), key.Default)
			}
		}
	}
}

// parseAlone reads a file with one key. The rules between keys are not applied: the others are missing.
func parseAlone(t *testing.T, heading, key, value string) Config {
	t.Helper()
	doc := ""
	if heading != "Top level" {
		doc = heading + "\n"
	}
	if key != "" {
		doc += key + " = " + value + "\n"
	}
	root, syntax := parseTree("kanmon.toml", []byte(doc))
	if syntax != nil {
		t.Fatalf("%s %s: %v", heading, key, syntax)
	}
	cfg := defaults()
	d := &decoder{file: "kanmon.toml", doc: []byte(doc), places: map[string]span{}}
	d.decodeInto(root, cfg)
	d.complete(cfg)
	if len(d.errs) > 0 {
		t.Errorf("%s %s:\n%v", heading, key, d.errs)
	}
	// An empty list in the file is as good as none.
	if len(cfg.Intercept.Sources) == 0 {
		cfg.Intercept.Sources = nil
	}
	if len(cfg.Intercept.Interfaces) == 0 {
		cfg.Intercept.Interfaces = nil
	}
	return *cfg
}

// What a step of the guide has an operator write is right where it stands alone, but for what other steps have brought.
func TestStepsOfTheGuideLoad(t *testing.T) {
	block := regexp.MustCompile(`(?m)(?:^ {4,}\S.*\n)+`)
	steps := 0
	for _, folder := range []string{"howto", "start"} {
		pages, err := filepath.Glob("../../docs/" + folder + "/*.md")
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range block.FindAllString(string(text), -1) {
				doc = regexp.MustCompile(`(?m)^ +`).ReplaceAllString(doc, "")
				if !strings.HasPrefix(doc, "[") || strings.HasPrefix(doc, "[Service]") || strings.HasPrefix(doc, "[Network]") {
					continue
				}
				steps++
				if !strings.Contains(doc, "[intercept]") {
					doc = "[intercept]\nsources = [\"10.20.0.0/16\"]\n" + doc
				}
				if _, err := Parse(filepath.Base(page), []byte(doc)); err != nil {
					t.Errorf("%s: %v\n%s", page, err, doc)
				}
			}
		}
	}
	if steps < 8 {
		t.Errorf("%d steps: they are not found", steps)
	}
}

// Whole examples of the documentation are files that load.
func TestDocumentedFiles(t *testing.T) {
	for _, page := range []string{"ref/configuration.md", "why/routing.md", "why/shaping.md", "howto/tls.md", "howto/warm-up.md"} {
		text, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := strings.Split(string(text), "```toml\n")[1:]
		if len(blocks) == 0 {
			t.Fatalf("no example in %s", page)
		}
		for _, block := range blocks {
			doc, _, _ := strings.Cut(block, "```")
			if strings.Contains(doc, "[[day]]") {
				if _, errs := ParseWarmUpPlan(page, []byte(doc)); len(errs) > 0 {
					t.Errorf("%v\n%s", errs, doc)
				}
				continue
			}
			if strings.Contains(doc, "[[provider]]") {
				if _, errs := parseProviders(page, []byte(doc)); len(errs) > 0 {
					t.Errorf("%v\n%s", errs, doc)
				}
				continue
			}
			if _, err := Parse(page, []byte(doc)); err != nil {
				t.Errorf("%v\n%s", err, doc)
			}
		}
	}
}
