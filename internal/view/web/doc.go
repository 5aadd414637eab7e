// Package web shows people what a kanmon does and has done, and lets those who may change it. It is a process of its own, under a user of
// its own: whatever becomes of it, mail does not notice. What happens now it asks on the admin socket, in the name of the person who looks;
// what has happened it reads in the history, if there is one.
//
// Normal use: [New] with [Options], then [Server.Serve] with a listener of [Listen]; [Server.Close].
//
// A request passes, in this order: the bounds of the listener (server.go), the headers of each answer (secure.go), who it is (entry.go), what
// that person may (role.go), then the route's own function.
//
// A page is added like this:
//
//  1. A file of its own, say refusals.go, with a variable of routes:
//     var refusalRoutes = []route{{path: "GET /refusals", title: "Refusals", menu: "Refusals", key: "r", role: Look, shows: "refusals.html",
//     model: refusals, history: true}}. A route has a model (a page), an act (a change, by POST) or a stream (it writes by itself: a CSV, events).
//  2. A line in routes.go, at its place in the menu. TestEachRouteAsksForItsRole covers it from then on; where its path has a {name}, or its
//     query must say something, examples_test.go says with which.
//  3. templates/refusals.html, which defines "main". The layout is around it. The functions that templates have are in render.go; the
//     pieces that they share are in templates/pieces.html. All that strangers may have written stands in <bdi>.
//  4. The model is any value. Of whoever may not see addresses, all addresses in it are hidden before the template sees it (veil.Model): a page
//     need not think of it, and has nothing to show that is not in its model.
//  5. The error of a model is shown instead of it: a [Problem] says with which status. history.ErrGone is a 404.
//  6. In tests, newRig gives a server with a real admin socket behind it, and rig.as(Look).get("/refusals") what it shows.
package web
