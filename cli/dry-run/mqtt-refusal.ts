/** Why the broker refuses; 3.1.1 has five codes, 5 has many. */
export function refusalOf(code: number): string {
  switch (code) {
    case 1:
    case 0x84:
      return 'the broker does not speak this version of MQTT: set mqtt_version'
    case 2:
    case 0x85:
      return 'the broker refuses the client id of this trial'
    case 3:
    case 0x88:
      return 'the broker is not available (it says so itself)'
    case 4:
    case 0x86:
      return 'user or password are wrong'
    case 5:
    case 0x87:
      return 'this user may not connect'
    default:
      return `the broker refuses (0x${code.toString(16).padStart(2, '0')})`
  }
}
