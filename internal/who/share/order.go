package share

import (
	"container/list"
	"iter"
	"slices"
	"strings"
)

// An Order is entries of owners, by when they were used last, and says which of them makes room for another. It does not bound them: who
// has it does.
type Order[T any] struct {
	part  int       // of an owner who never has to make room for others
	all   list.List // of *Entry[T], last used first
	parts map[string]*part[T]
	above []*part[T] // that have more than part: 63 at most
}

// parts is how many owners are looked at for the one who has most, so that this takes the same time however many there are. Who makes
// himself many owners cannot press one who is in use below one part of all.
const parts = 64

// A part is what an owner has.
type part[T any] struct {
	name  string
	order list.List // as Order.all
}

// An Entry is one of an Order.
type Entry[T any] struct {
	Value T
	of    *part[T]
	at    *list.Element // in the Order
	atOf  *list.Element // in the part
}

// Owner is whose it is.
func (e *Entry[T]) Owner() string { return e.of.name }

// NewOrder makes an Order of at most so many entries.
func NewOrder[T any](most int) *Order[T] {
	return &Order[T]{part: max(1, most/parts), parts: map[string]*part[T]{}}
}

// Grow makes it one of at most so many, if it was of fewer.
func (o *Order[T]) Grow(most int) {
	if most/parts <= o.part {
		return
	}
	o.part = most / parts
	o.above = slices.DeleteFunc(o.above, func(p *part[T]) bool { return p.order.Len() <= o.part })
}

// Add adds an entry that is used by that. With the owner "" it is nobody's, who is an owner as the others are.
func (o *Order[T]) Add(v T, owner string) *Entry[T] {
	of := o.parts[owner]
	if of == nil {
		of = &part[T]{name: strings.Clone(owner)} // it may be part of something large
		o.parts[of.name] = of
	}
	e := &Entry[T]{Value: v, of: of}
	e.at, e.atOf = o.all.PushFront(e), of.order.PushFront(e)
	if of.order.Len() == o.part+1 {
		o.above = append(o.above, of)
	}
	return e
}

// Use notes that an entry is used. It does not allocate.
func (o *Order[T]) Use(e *Entry[T]) {
	o.all.MoveToFront(e.at)
	e.of.order.MoveToFront(e.atOf)
}

// Remove takes an entry out.
func (o *Order[T]) Remove(e *Entry[T]) {
	o.all.Remove(e.at)
	of := e.of
	of.order.Remove(e.atOf)
	switch of.order.Len() {
	case o.part:
		for i, p := range o.above {
			if p == of {
				last := len(o.above) - 1
				o.above[i], o.above[last] = o.above[last], nil
				o.above = o.above[:last]
				break
			}
		}
	case 0:
		delete(o.parts, of.name)
	}
}

// Leaves returns the entry that makes room for one of an owner: the longest unused one of whoever has most, which is the owner himself if
// nobody has more; and if nobody has more than a part, of all. Nil: there is none.
func (o *Order[T]) Leaves(owner string) *Entry[T] {
	if len(o.above) == 0 {
		return o.Unused()
	}
	most := o.above[0]
	for _, p := range o.above[1:] {
		if n := p.order.Len() - most.order.Len(); n > 0 || n == 0 && p.name == owner {
			most = p
		}
	}
	return most.order.Back().Value.(*Entry[T])
}

// Unused returns the entry that was not used for longest; nil: there is none.
func (o *Order[T]) Unused() *Entry[T] {
	if last := o.all.Back(); last != nil {
		return last.Value.(*Entry[T])
	}
	return nil
}

// All returns all entries, those used last first.
func (o *Order[T]) All() iter.Seq[*Entry[T]] {
	return func(yield func(*Entry[T]) bool) {
		for at := o.all.Front(); at != nil; at = at.Next() {
			if !yield(at.Value.(*Entry[T])) {
				return
			}
		}
	}
}

// Len is the number of entries.
func (o *Order[T]) Len() int { return o.all.Len() }
