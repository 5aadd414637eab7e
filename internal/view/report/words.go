package report

import (
	"fmt"

	"kanmon/internal/view/find"
)

// A text is one thing in all languages.
type text [2]string

// in fills a text in.
func (t text) in(l find.Lang, values ...any) string {
	if len(values) == 0 {
		return t[l]
	}
	return fmt.Sprintf(t[l], values...)
}

var (
	title  = text{"Outgoing mail of %s", "%s 送信メールレポート"}
	period = text{"Period", "対象期間"}
	until  = text{"%s to %s (%s)", "%s ～ %s（%s）"}
	made   = text{"Made", "作成日時"}

	counted      = text{"Counted", "集計"}
	countedHours = text{
		"by whole hours of UTC: each day begins and ends %d minutes sooner than in this time zone",
		"UTC の1時間単位で集計しているため、各日はこのタイムゾーンより %d 分早く始まり、早く終わります",
	}

	summary    = text{"Summary", "概要"}
	thisTime   = text{"This period", "当期間"}
	timeBefore = text{"From %s", "%s からの同期間"}
	change     = text{"Change", "増減"}
	figure     = text{"Figure", "項目"}

	mails      = text{"Mails", "メール数"}
	attempts   = text{"Attempts to deliver", "配送試行数"}
	delivered  = text{"Delivered", "配送済み"}
	first      = text{"On the first try", "初回で配送"}
	later      = text{"After waiting", "再送で配送"}
	deferred   = text{"Put off for now", "一時的な拒否"}
	refused    = text{"Refused for good", "恒久的な拒否"}
	unclear    = text{"Unclear (no answer at the end)", "不明（最後の応答なし）"}
	other      = text{"Ended by the sender or on the way", "送信側または途中で終了"}
	recipients = text{"Recipients", "宛先数"}
	octets     = text{"Octets of messages", "メールの総バイト数"}
	rescued    = text{"Bounces avoided (sent from another address of ours)", "回避したバウンス（別の送信元から配送）"}
	encrypted  = text{"Encrypted", "暗号化（TLS）"}

	waitsTitle = text{"Mail that was not delivered at once", "すぐに配送されなかったメール"}
	waitedMail = text{"Delivered later", "後で配送"}
	half       = text{"Half of them within", "半数がこの時間内"}
	most       = text{"19 of 20 within", "95 % がこの時間内"}
	waiting    = text{"Still waiting", "再送待ち"}
	givenUp    = text{"Given up, as far as is known", "再送断念（推定）"}
	lastNo     = text{"Refused for good at last", "最終的に拒否"}
	waitsCut   = text{"Only the newest %d of these mails were looked at.", "最新の %d 通だけを集計しています。"}
	waitsFrom  = text{"Single attempts are kept since %s: the figures of this table are of the time from then on.", "個々の配送試行は %s 以降だけが残っています。この表はその日以降の値です。"}

	daysTitle = text{"By day", "日別"}
	day       = text{"Day", "日"}

	toTitle = text{"By destination", "宛先別"}
	to      = text{"Destination", "宛先"}

	whyTitle = text{"What receivers objected to", "拒否の理由"}
	meaning  = text{"Meaning", "意味"}
	remedy   = text{"What you can do", "対処方法"}
	count    = text{"Attempts", "試行数"}
	authNote = text{
		"%d attempts failed SPF, DKIM or DMARC: the receiver could not verify that the mail is from your domain.",
		"%d 件の試行が SPF、DKIM または DMARC により拒否されました。受信側で送信ドメインを確認できませんでした。",
	}

	saidTitle = text{"In the receivers' words", "受信側の応答"}
	said      = text{"Reply", "応答"}

	accountsTitle = text{"Accounts whose mail was refused most", "拒否の多いアカウント"}
	accountsNote  = text{"Counted by whole days (UTC).", "UTC の日単位で集計しています。"}
	account       = text{"Account", "アカウント"}

	missingTitle  = text{"Recipients that do not exist", "存在しない宛先"}
	missingNote   = text{"Take these addresses out of your lists: receivers take many of them for a sign of bad lists.", "配信リストから削除してください。存在しない宛先が多いと、受信側の評価が下がります。"}
	missingHidden = text{"The addresses are not kept as they were, so they cannot be listed.", "宛先アドレスは保存していないため、一覧にできません。"}
	missingMore   = text{"And %d more.", "ほか %d 件。"}
	missingCut    = text{"Only the newest refusals were looked at.", "最新の拒否だけを集計しています。"}
	address       = text{"Address", "アドレス"}
	times         = text{"Times", "回数"}
	lastTime      = text{"Last", "最終"}

	limitsTitle = text{"Limits that were reached", "到達した制限"}
	rule        = text{"Rule", "規則"}
	action      = text{"What was done", "対応"}

	deedsTitle = text{"Measures", "措置"}
	when       = text{"When", "日時"}
	whom       = text{"Whom it concerns", "対象"}
	all        = text{"all accounts", "全アカウント"}
	why        = text{"Why", "理由"}
	would      = text{"%s (only observed)", "%s（観察のみ）"}

	newestOnly = text{"Only the newest are here: there were more.", "最新のもののみを記載しています。これより前にもあります。"}

	gapsTitle = text{"What is not known", "記録の欠落"}
	noGaps    = text{"The records of this period are whole.", "この期間の記録に欠落はありません。"}
	keptFrom  = text{"Nothing is kept of the time before %s.", "%s より前の記録はありません。"}
	nothing   = text{"Nothing is kept.", "記録がありません。"}
	knownTo   = text{"The records reach to %s.", "記録は %s までです。"}
	lost      = text{"%d records of your mail were lost: the figures are too low by as many attempts, or sessions.", "メールの記録が %d 件失われています。その分、値が少なくなっています。"}
	anybodys  = text{"%d records were lost of which nobody knows whose they were.", "所有者不明の記録が %d 件失われています。"}
	killed    = text{"The gateway ended without warning before %s: a moment of records may be missing.", "%s の前にゲートウェイが異常終了しました。直前の記録が欠けている可能性があります。"}

	none = text{"None.", "ありません。"}
)

// deedTexts say what was done, by the word that records have for it.
var deedTexts = map[string]text{
	"normal": {"back to normal", "通常に復帰"}, "slow": {"slowed down", "送信を減速"}, "divert": {"sent from other addresses", "別の送信元に振り分け"},
	"stop": {"stopped: mail waits", "停止（メールは待機）"}, "block": {"blocked", "ブロック"}, "unblock": {"unblocked", "ブロック解除"},
	"exempt": {"exempted from measures", "措置の対象外に設定"}, "unexempt": {"no longer exempted", "対象外を解除"}, "allow": {"content allowed", "本文の検査結果を不問に設定"}, "withdraw": {"content no longer allowed", "不問の設定を解除"}, "limit": {"another limit was set", "制限値を変更"},
	"kind": {"marked", "種別を設定"},
}

// actionTexts say what a rule did.
var actionTexts = map[string]text{
	"delayed": {"delayed", "遅延"}, "deferred": {"put off", "一時拒否"}, "rejected": {"refused", "拒否"}, "diverted": {"sent from other addresses", "別の送信元から送信"},
	"blocked": {"put off until a person lifts it", "解除されるまで一時拒否"}, "moved": {"sent from another address", "別の送信元から送信"},
	"spoofed": {"the sender is not of the tenant's domains", "送信者ドメインがテナントのものではない"},
}

// done has what rules do by what they would.
var done = map[string]string{"delay": "delayed", "defer": "deferred", "reject": "rejected", "divert": "diverted", "block": "blocked", "move": "moved"}

// named says a word of the records.
func named(texts map[string]text, word string, l find.Lang) string {
	if t, is := texts[word]; is {
		return t.in(l)
	}
	return word
}

// providerTexts are names of destinations that are none.
var providerTexts = map[string]text{"": {"others", "その他"}, "other": {"others", "その他"}, "unknown": {"not known", "不明"}}
