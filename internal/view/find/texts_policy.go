package find

// What is said of the TLS policies of recipients' domains.

var (
	colon        = text{": ", "："}
	policyNobody = text{"a recipient whose domain nobody can read", "ドメインを読み取れない宛先"}

	policyAsked    = text{"%[1]s asks for verified TLS (%[2]s)", "%[1]s は検証済みのTLSを求めています（%[2]s）。"}
	policyProved   = text{", and the MX has proved that it is %[1]s", "MXは %[1]s であることを証明しました"}
	policyPassed   = text{", and the MX has shown what is asked", "MXは求められた条件を満たしました"}
	policyRefused  = text{", the MX has not proved itself, and the recipient was not named to it", "MXが証明できなかったため、宛先をMXに伝えませんでした"}
	policyWould    = text{", the MX has not proved itself, and the mail was sent all the same", "MXは証明できませんでしたが、メールは送信しました"}
	policyUnjudged = text{", which was not known in time", "期限内に判定できませんでした"}
)

// policyAsks are who asks, by the words of the records.
var policyAsks = map[string]text{
	"sts":         {"MTA-STS", "MTA-STSポリシー"},
	"sts_testing": {"MTA-STS, which the domain is testing", "MTA-STS、テストモード"},
	"dane":        {"DANE", "DANEレコード"},
	"encrypted":   {"DANE, with records that nobody can use: encryption alone", "DANE、利用できるレコードがないため暗号化のみ"},
	"named":       {"the operator has named the MX", "運用者がMXの名前を指定"},
}

// policyWhole are those that nobody asks.
var policyWhole = map[string]text{
	"none":       {"%[1]s asks for no verified TLS", "%[1]s は検証済みのTLSを求めていません"},
	"unknown":    {"what TLS %[1]s asks for was not known", "%[1]s がどのようなTLSを求めているか分かりませんでした"},
	"exempt":     {"what TLS %[1]s asks for does not count: the operator has exempted it", "%[1]s のTLSポリシーは、運用者の設定により対象外です"},
	"overridden": {"what TLS %[1]s asks for does not count: the operator has set TLS for this MX", "%[1]s のTLSポリシーより、このMXに対する運用者の設定が優先されます"},
}

// policyReasons are why an MX has not proved itself, or why there is no policy, by the words of the records.
var policyReasons = map[string]text{
	"starttls-not-supported":    {"it offers no encryption (STARTTLS)", "暗号化（STARTTLS）を提供していません"},
	"certificate-host-mismatch": {"its certificate is for another name", "証明書の名前が異なります"},
	"certificate-not-trusted":   {"no authority that counts vouches for its certificate", "信頼できる認証局が発行した証明書ではありません"},
	"certificate-expired":       {"its certificate is out of date", "証明書の有効期限が切れています"},
	"validation-failure":        {"TLS with it failed, or its certificate is not the one that DNS announces", "TLSに失敗したか、DNSが示す証明書と異なります"},
	"sts-policy-fetch-error":    {"the policy could not be fetched from the domain's host", "ドメインのホストからポリシーを取得できませんでした"},
	"sts-policy-invalid":        {"what the domain's host serves is no policy", "ドメインのホストが返した内容はポリシーとして無効です"},
	"sts-webpki-invalid":        {"the host of the policy has not proved its name", "ポリシーを提供するホストの証明書を検証できませんでした"},
	"tlsa-invalid":              {"the domain's TLSA records are not valid", "ドメインのTLSAレコードが無効です"},
	"dnssec-invalid":            {"DNSSEC finds an answer of the domain's DNS forged", "DNSSECの検証で、ドメインのDNSの回答が改ざんと判定されました"},
	"dane-required":             {"it has no TLSA record where it must have one", "必要なTLSAレコードがありません"},
	"mx-not-in-policy":          {"the domain's policy does not have this MX", "ドメインのポリシーにこのMXが含まれていません"},
	"not-an-mx":                 {"the address is no MX of the domain", "接続先のアドレスはこのドメインのMXではありません"},
	"dns-failed":                {"DNS gave no answer", "DNSから回答がありませんでした"},
	"tls-too-old":               {"it has nothing newer than TLS 1.1", "TLS 1.1以前しか利用できません"},
	"no-common-cipher":          {"it has no cipher that kanmon has", "kanmonと共通の暗号方式がありません"},
	"another-name":              {"it must be asked for under another name than the other recipients of the mail: the next attempt does so", "同じメールの他の宛先とは別の名前で接続する必要があります。次の再送で行います"},
	"recipient-unreadable":      {"the domain of the recipient's address cannot be read", "宛先アドレスのドメインを読み取れません"},
	"no-time":                   {"there was no time for another connection", "接続し直す時間がありませんでした"},
}
