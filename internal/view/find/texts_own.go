package find

import (
	"regexp"

	"kanmon/internal/smtp/replies"
)

// What replies.Catalogue says in English is said here in Japanese; and whose it is that this was said.
type ownText struct {
	whose       Fault
	meaning, do string
}

var ownTexts = map[string]ownText{
	"blocked":           {FaultLimit, "このアカウントまたはテナントは、管理者または制限により送信を止められています。", "誰が、いつ、なぜ止めたかは `kanmon account explain` で確認し、解除は `kanmon account unblock` で行います。"},
	"stopped":           {FaultAccount, "受信側に拒否されたメールが多すぎたため、このアカウントまたはテナントの送信を停止しています。", "`kanmon account explain` で理由を確認してください。悪用でなければ `kanmon account unblock`、または期限付きの `exempt` を使います。"},
	"slowed":            {FaultAccount, "受信側に拒否されたメールが多すぎたため、このアカウントまたはテナントの送信量を絞っています。", "`kanmon account explain` で理由を確認してください。改善すれば自動的に元へ戻ります。"},
	"limit":             {FaultLimit, "設定された送信数の上限に達しました。", ownLimitReach},
	"limit-attempts":    {FaultLimit, "拒否されたものを含む送信試行の回数が、上限に達しました。", ownLimitReach},
	"limit-sessions":    {FaultLimit, "同時接続数の上限に達しました。", ownLimitReach},
	"unknown-server":    {FaultLimit, "このメールサーバーは、どのテナントの送信元としても登録されていません。", "テナントの `sources` にアドレスを追加してください。次の再送で送信されます。"},
	"unknown-sender":    {FaultLimit, "送信者のドメインが、このメールサーバーのどのテナントにも登録されていません。", "テナントの `sender_domains` にドメインを追加してください。"},
	"spoofed":           {FaultAccount, "送信者のドメインは、別のテナントのものとして登録されています。", "そのドメインがどちらのテナントのものかを確認してください。転送を行うテナントは `kanmon tenant kind TENANT forwarder` で印を付けられます。"},
	"unreadable-sender": {FaultAccount, "MAILコマンドの送信者アドレスが正しい形式ではありません。", "記録にある送信者の表記を確認し、送信側のソフトウェアを直すよう伝えてください。"},
	"account-missing":   {FaultAccount, "アカウントを示すヘッダーフィールドがメールにありません。", "フィールドの追加をテナントと取り決めるか、それまで `account_header_required` を無効にしてください。"},
	"account-ambiguous": {FaultAccount, "アカウントを示すヘッダーフィールドが複数あり、内容が食い違っています。", "記録の `conflicting_accounts` に内容があります。自分で付けていないフィールドは取り除くよう、テナントに伝えてください。"},

	"unreachable":        {FaultReceiver, "受信側のメールサーバーに接続できませんでした。", "すべての宛先で起きている場合は、送信元IPアドレスの経路、ファイアウォール、上流のポート25を確認してください。"},
	"suspended":          {FaultOurs, "この宛先に使える送信元IPアドレスが、すべて停止中です。", ownSeeIPs + "再開は `kanmon ip resume` で行います。またはプールに送信元IPアドレスを追加してください。"},
	"missing":            {FaultOurs, "このメールに使う送信元IPアドレスが、現在このホストにありません。", "`kanmon ip list` で確認し、アドレスをホストに戻してください。戻ればすぐに使われます。"},
	"ports-used-up":      {FaultOurs, "この宛先への接続に使える送信元ポートが残っていません。", "`net.ipv4.ip_local_port_range` を広げるか、プールに送信元IPアドレスを追加してください。"},
	"no-room":            {FaultOurs, "この宛先が1つの送信元IPアドレスから受け取る量の上限に達しています。", "`kanmon ip show` で上限と使用量を確認し、送信元IPアドレスを追加するか、上限を変更してください。"},
	"no-more-recipients": {FaultNobody, "1通、または1接続あたりの宛先数の上限に達しました。残りの宛先には別のメールとして送られます。", ownNothing},
	"elsewhere":          {FaultReceiver, "このメールに使う送信元IPアドレスから、受信側に接続できませんでした。", ownSeeIPs + "`kanmon explain` で、プールに宛先と同じ種類（IPv4、IPv6）のアドレスがあるかを確認してください。"},
	"lost":               {FaultReceiver, "受信側またはネットワークが接続を切断しました。", ownSeeMX},
	"lost-at-dot":        {FaultReceiver, "本文をすべて送った後、応答の前に接続が切れました。届いている可能性があります。", ownPerhaps},
	"silent":             {FaultReceiver, "受信側が、定められた時間内に応答しませんでした。", ownSeeMX},
	"silent-at-dot":      {FaultReceiver, "本文をすべて送った後、受信側が応答しませんでした。届いている可能性があります。", ownPerhaps},
	"garbled":            {FaultReceiver, "受信側の応答がSMTPの規則に反していました。", ownSeeMX},
	"garbled-at-dot":     {FaultReceiver, "本文をすべて送った後の応答が不明瞭でした。届いている可能性があります。", ownPerhaps},
	"injected":           {FaultReceiver, "受信側が、TLSの開始前にデータを送ってきました。サーバーの不具合、または通信への介入が疑われます。", "1つのMXだけなら先方のポストマスターに連絡してください。多数のMXで起きる場合は、当方側で通信が書き換えられている可能性があります。"},
	"no-tls":             {FaultReceiver, "この宛先にはTLSが必須ですが、受信側がTLSを提供しないか、TLSに失敗しました。", ownSeeTLS + "設定が誤っている場合は `[[destination]]` を変更してください。"},
	"tls-wanted":         {FaultReceiver, "TLSに失敗したため平文で送ろうとしましたが、受信側が平文のメールを受け取りませんでした。", ownSeeTLS},
	"tls-unproved":       {FaultReceiver, "宛先ドメインのTLSポリシー（MTA-STS、DANE）、または運用者が指定した名前を、受信側のサーバーが証明できませんでした。", "`kanmon tls ドメイン` で各段階を確認できます。中継サーバーであれば `[[destination]]` に `tls = \"verify\"` と `names` を設定してください。"},
	"tls-unknown":        {FaultReceiver, "宛先ドメインがどのようなTLSを求めているか、DNSから回答がありませんでした。", "`kanmon tls ドメイン` で回答のない質問を確認してください。すべてのドメインで起きる場合は、リゾルバーを確認してください。"},
	"tls-unreadable":     {FaultAccount, "宛先アドレスのドメインを読み取れないため、必要なTLSを判断できませんでした。", "宛先アドレスの書式を修正してください。"},
	"another-name":       {FaultNobody, "宛先ドメインのTLSポリシーは、同じメールの他の宛先とは別の名前での接続を求めています。次の再送で送られます。", ownNothing},
	"gone":               {FaultReceiver, "受信側が、このコマンドの前に接続を終了していました。", ownNothing},
	"refused":            {FaultReceiver, "受信側が最初の応答で接続を拒否しました。", ownNothing},
	"lacks":              {FaultReceiver, "このメールに必要な拡張機能を、受信側のサーバーが提供していません。", "この宛先の複数のMXで、提供する拡張機能が違っていないかを確認してください。"},

	"smuggled": {FaultAccount, "本文に、本文の終わりと紛らわしい不正な改行が含まれています（SMTPスマグリング）。", "同じテナントで繰り返す場合は、何を送っているかを確認してください。"},
	"too-big":  {FaultLimit, "メールのサイズが、このゲートウェイの上限を超えています。", "受信側が受け取れる大きさであれば、`limits.body_bytes` を増やしてください。"},
	"unwanted": {FaultRecipient, "宛先がすべて拒否されたのに、本文が送られてきました。", ownNothing},
	"unjudged": {FaultLimit, "送信前に本文を検査する設定ですが、時間内に結果が得られませんでした。", "`kanmon status` で、応答のない検査サーバーがないかを確認してください。"},

	"took-too-long": {FaultReceiver, "検査のために保留していたメールを、受信側が残り時間内に受け取り終えませんでした。本文の終わりは送っていません。", "送信側がもっと長く待てるのであれば、`content.dot_within` を増やしてください。"},

	"spam":            {FaultAccount, "本文がスパムと判定されました。", ownSeeContent + "誤判定の場合は `kanmon content allow --account アカウント --for 24h --reason …` を使います。"},
	"virus":           {FaultAccount, "本文からウイルスが検出されました。", ownSeeContent + "送信元のアカウントと端末を確認するよう、テナントに伝えてください。"},
	"spam-for-now":    {FaultAccount, "本文の内容により、一時的に送信を保留しています。", ownSeeContent},
	"virus-for-now":   {FaultAccount, "本文からウイルスが検出されたため、送信を保留しています。", ownSeeContent + "送信元のアカウントと端末を確認するよう、テナントに伝えてください。"},
	"unscanned":       {FaultOurs, "本文を検査できなかったため、送信を保留しています。", ownSeeContent + "検査プログラムの状態は `kanmon status` で確認してください。"},
	"unfit":           {FaultAccount, "宛先、送信者、または本文に検査プログラムへ渡せない文字があるため、検査できません。", ownSeeContent + "アドレスの表記を直すよう、テナントに伝えてください。"},
	"no-room-to-scan": {FaultOurs, "検査待ちのメールが多すぎるため、本文を受け取れません。", "`kanmon status` を確認し、足りなければ `hold_memory` を増やしてください。"},

	"greeting":        {FaultLimit, "現在どのメールも送れないため、受信側には接続していません。", ownNothing},
	"ended":           {FaultLimit, "運用者がこの接続を終了しました。", "理由は `kanmon audit` に残っています。"},
	"full":            {FaultLimit, "このゲートウェイの同時接続数の上限に達しました。", "`kanmon status` で接続の内訳を確認し、余裕があれば上限を増やしてください。"},
	"full-of-source":  {FaultLimit, "1つの送信元アドレスからの接続数の上限に達しました。", "`kanmon status` を確認し、大きなサーバーであれば上限を増やしてください。"},
	"full-of-tenant":  {FaultLimit, "残りの接続は、接続数の少ないテナントのために確保されています。", "`kanmon status` を確認し、`limits.sessions` を増やしてください。"},
	"stopping":        {FaultNobody, "このゲートウェイは停止または再起動の途中です。", ownNothing},
	"not-intercepted": {FaultOurs, "kanmon自身のポートに直接接続されました。", "`kanmon rules print` でファイアウォールの規則を確認してください。"},
	"loop":            {FaultOurs, "kanmon自身の接続が、kanmonに戻ってきています。", "至急、kanmonの通信を除外するようファイアウォールの規則を直してください（`kanmon rules print`）。"},
	"internal":        {FaultOurs, "kanmonの内部エラーにより、このセッションだけが終了しました。", "kanmonのログに詳細があります。不具合として報告してください。"},
	"idle":            {FaultAccount, "送信側のメールサーバーが、長い間何も送ってきませんでした。", ownNothing},
	"abusive":         {FaultAccount, "メールを伴わないコマンドが多すぎました。", "セッションログにコマンドが残っています。"},
	"too-many-mails":  {FaultLimit, "1つの接続で送れるメール数の上限に達しました。", ownNothing},
	"foreign":         {FaultAccount, "接続してきたのはSMTPではない通信です。", ownNothing},
	"line-feed":       {FaultAccount, "送信側が、CRLFではなくLFだけで行を終えています。", ownNothing},

	"too-many-recipients": {FaultNobody, "1通の宛先数の上限に達しました。残りは別のメールとして送られます。", ownNothing},
}

const (
	ownNothing    = "対応は不要です。"
	ownLimitReach = "上限と使用量は `kanmon tenant show`、`kanmon account show` で確認できます。正当なメールであれば `kanmon tenant limit`、`kanmon account limit`、または設定で上限を増やしてください。"
	ownSeeIPs     = "どの送信元IPアドレスが、いつから、なぜ停止しているかは `kanmon ip list` で確認できます。"
	ownSeeMX      = "受信側の応答と時刻は記録にあります。ほかの宛先が正常なら、相手側の問題です。"
	ownSeeTLS     = "このMXのTLSの状況は `kanmon mx ADDRESS` で確認できます。"
	ownSeeContent = "照会番号の詳細は `kanmon content explain 照会番号` で確認できます。"
	ownPerhaps    = "記録の `outcome` は `ambiguous` です。相手が受け取っていた場合は二重に届きますが、SMTPでは避けられません（RFC 1047）。"
)

var (
	ownUnknown = text{"a reply of kanmon's own", "kanmon自身の応答です"}
	ownCommand = ownText{FaultAccount, "送信側のコマンドが、順序または形式の規則に反していました。", "手入力でなければ、送信側のソフトウェアを確認してください。"}
	pageLink   = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
)

// ownOf gives what is said of a reply of kanmon's own. Those to commands out of place are all of one kind.
func ownOf(e *replies.Entry) ownText {
	if t, is := ownTexts[e.Name]; is {
		return t
	}
	return ownCommand
}

func ownFault(e *replies.Entry) Fault {
	if e == nil { // of another version
		return FaultLimit
	}
	return ownOf(e).whose
}

func ownMeaning(e *replies.Entry, l Lang) string {
	if l == Japanese {
		return ownOf(e).meaning
	}
	return pageLink.ReplaceAllString(e.Happened, "$1")
}

func ownAdvice(e *replies.Entry, l Lang) string {
	if l == Japanese {
		return ownOf(e).do
	}
	return pageLink.ReplaceAllString(e.Operator, "$1")
}
